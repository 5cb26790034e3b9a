"""What dom0 says of a client's device in our directory, read strictly: whose it is, its addresses, its MTU.

dom0 is trusted and may err all the same: what is no value of its kind is told in one line that names the node, what it
holds and what was expected, and something safe is taken instead.
"""
from firewall.wire.address import first_host4
from log import Log
from micropython import const
from net.netif import MTU, MTU_LEAST, MTU_MOST
from xenbus import values
from xennumbers import DOMID_MAX

_TOLD = const(40)  # octets of a wrong value in the log

_log = Log("netback")


class Described:
    """frontend: the client's directory, a path, or ""; address: int or None; mac: six octets or None; mtu: octets."""

    def __init__(self, store, name, path, domid):
        self.store = store
        self.name = name
        self.path = path
        self.domid = domid
        self.frontend = ""
        self.address = None
        self.mac = None
        self.mtu = MTU
        self._told = {}  # node: the wrong value last told

    async def find(self):
        """True if dom0 has said whose device this is. Otherwise it is still writing, and frontend stays what it was."""
        frontend, owner = await values.reads(self.store, self.path, ("frontend", "frontend-id"))
        home = b"/local/domain/%d/" % self.domid
        path = frontend.startswith(home) and all(0x20 < octet < 0x7F for octet in frontend)
        whose = values.decimal(owner, DOMID_MAX) == self.domid
        self._judge("frontend", frontend, path, "a path below " + home.decode(), "waits", b"")
        self._judge("frontend-id", owner, whose, self.domid, "waits", b"")
        if not path or not whose:
            return False
        self.frontend = frontend.decode()
        return True

    async def look(self):
        """Read what may change while the device lives. Returns (address, mac, mtu)."""
        ip, mac, mtu = await values.reads(self.store, self.path, ("ip", "mac", "mtu"))
        address = first_host4(ip)
        self._judge("ip", ip, address is not None, "an IPv4 address", "nothing is forwarded")
        ethernet = values.mac(mac)
        self._judge("mac", mac, ethernet is not None, "aa:bb:cc:dd:ee:ff of one interface", "Qubes' own is taken")
        octets = values.decimal(mtu, MTU_MOST) or 0
        limits = "%d to %d" % (MTU_LEAST, MTU_MOST)
        if not self._judge("mtu", mtu, octets >= MTU_LEAST, limits, "%d is taken" % MTU, b""):
            octets = MTU
        return address, ethernet, octets if mtu else MTU

    def wrong_online(self, value, offered):
        """`online` is neither 0 nor 1. offered: it has been 1; until then dom0 may still be about to write it."""
        self._judge("online", value, False, "0 or 1", "stays as it is", None if offered else b"")

    def wrong_state(self, value, ours):
        """Somebody has overwritten our state with what is no state."""
        self._judge("state", value, False, "0 to 8", "%d is written again" % ours)

    def _judge(self, node, value, okay, expected, outcome, default=None):
        """okay, or True where the node holds the default. What is wrong is told, once until it changes."""
        if okay or value == default:
            self._told.pop(node, None)
            return True
        if self._told.get(node) != value:
            self._told[node] = value
            _log.warning("vif %s: %s is %r, expected %s: %s", self.name, node, bytes(value[:_TOLD]), expected, outcome)
        return False
