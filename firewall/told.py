"""What dom0 says of clients, on its way from the settings' task to whom it concerns; the rest of it is in main.py."""
import xen

from firewall.policy import CLOSED, Policy


class Told:
    """neighbours, forwarder: of the firewall that is told."""

    def set_shown(self, address, shown, gateway):
        """A client has another address on its side, and this gateway there; shown: its own, if it has not."""
        self.neighbours.set_shown(address, shown, gateway)

    def set_policy(self, *settings):
        """What settings allow and refuse, as Policy takes it. If it fails nothing passes: the old one may be wider."""
        try:
            self.neighbours.set_policy(Policy(*settings))
        except BaseException:
            self.neighbours.set_policy(CLOSED)
            raise

    def set_rates(self, rates):
        """{address: octets a second} of the clients that have a rate, each way."""
        self.forwarder.rates.set_rates(rates, self.forwarder.clients, xen.ns())
