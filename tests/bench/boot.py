"""How long a firewall takes from its first instruction to its first forwarded ping, with a client that waits for it.

The firewall is created, and its client's interface announced in xenstore, while it is still paused; the client sets its
interface up as soon as it is there, and pings 500 times a second. The clock begins with the unpause and ends when the
first echo request comes out at the netvm, see tests/xen/steps/first.py.
"""
from tests.xen.errors import LabError
from tests.xen.site import FIREWALL

_SET_UP = ("traffic await eth0; /usr/sbin/ip link set eth0 up; /usr/sbin/ip addr replace %s/32 dev eth0; "
           "/usr/sbin/ip route replace default via %s dev eth0 onlink; traffic ping %s %d 500")
_SECONDS = 8  # s of the lab's clock that the client pings


def first_ping(machine, server):
    """s. The firewall that is in use is ended for it."""
    site = machine.site

    def start(client):
        attach = ["xl", "network-attach", str(client.domid)] + site.client_words(client.ip).split(",")
        command = _SET_UP % (client.ip, FIREWALL, server, _SECONDS)
        line, mark = client.line(command)
        took = machine.lab.call("first.packet", attach, client.domid, line, site.uplink, site.firewall.domid, _SECONDS,
                                timeout=10 * _SECONDS)
        client.result(mark, command, 10 * _SECONDS)
        if took is None:
            raise LabError("nothing was forwarded in %d s; %s" % (_SECONDS, site.firewall.last_words()))
        return took / 1e9
    return machine.renew(start)
