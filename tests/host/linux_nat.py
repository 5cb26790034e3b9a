"""A Linux firewall as Qubes sets one up, in a network namespace: conntrack, masquerade, reject.

    client0 ==== vif1.0 [ Linux 10.138.0.2: nftables ] eth0 ==== wire0        (linux_router.py)
    client1 ==== vif2.0 [                            ]

A frame put onto a client's end or the wire's passes through the kernel before send() returns, as
everything happens on one processor; what has then arrived at any end is the kernel's answer.
"""
import os
import pickle
import select
import socket
import sys

from linux_router import Router, _run, _say, _set_up

CLIENTS = ("10.137.0.21", "10.137.0.22")
DENIED = "198.51.100.0/24"
RULES = """
flush ruleset
table ip t {
  chain pre { type filter hook prerouting priority raw; policy accept;
    iifname "vif1.0" ip saddr != 10.137.0.21 drop
    iifname "vif2.0" ip saddr != 10.137.0.22 drop
    iifname "eth0" ip saddr { 10.137.0.21, 10.137.0.22 } drop
  }
  chain nat { type nat hook postrouting priority srcnat; policy accept;
    oifname "eth0" masquerade
  }
  chain input { type filter hook input priority filter; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname { "vif1.0", "vif2.0" } meta l4proto icmp accept
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname { "vif1.0", "vif2.0" } oifname { "vif1.0", "vif2.0" } reject with icmp type admin-prohibited
    iifname { "vif1.0", "vif2.0" } ip daddr %s reject with icmp type admin-prohibited
    iifname { "vif1.0", "vif2.0" } accept
  }
}
""" % DENIED
_SETTINGS = (
    ("ipv4/icmp_ratelimit", 0),
    ("ipv4/icmp_msgs_per_sec", 1000000),
    ("ipv4/icmp_msgs_burst", 1000000),
    ("netfilter/nf_conntrack_tcp_loose", 0),  # as ours: only a SYN begins a connection
    ("netfilter/nf_conntrack_tcp_be_liberal", 1),  # sequence numbers are not followed
)


class Firewall(Router):
    """Use as a context."""

    program = os.path.abspath(__file__)

    def play(self, end, frame):
        """Put a frame onto an end: 0 the wire, 1 and 2 the clients. [(end, IPv4 frame)] that came out."""
        return self._ask((end, frame))


def _more():
    for command in (
        "link add client1 type veth peer name vif2.0",
        "link set eth0 address 02:00:00:00:00:00",
        "link set vif2.0 address 02:00:00:00:00:02 arp off",
        "address add 10.138.0.2/32 dev vif1.0",
        "address add 10.138.0.2/32 dev vif2.0",
        "link set client1 up",
        "link set vif2.0 up",
        "address del 10.137.255.254/32 dev vif1.0",
        "route replace 10.137.0.21/32 dev vif1.0 src 10.138.0.2",
        "route replace 10.137.0.22/32 dev vif2.0 src 10.138.0.2",
        "route replace default dev eth0 src 10.138.0.2",
    ):
        done = _run("ip", *command.split())
        if done.returncode:
            raise SystemExit("ip %s: %s" % (command, done.stdout))
    done = _run("nft", "-f", "-", text=RULES)
    if done.returncode:
        raise SystemExit(done.stdout)
    for name, value in _SETTINGS + (("ipv4/conf/vif2.0/rp_filter", 0),):
        with open("/proc/sys/net/" + name, "w") as setting:
            setting.write("%d" % value)


def _serve():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _set_up()
    _more()
    ends = []
    for outside in ("wire0", "client0", "client1"):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        end.bind((outside, 0x0800))
        ends.append(end)
    _say("ready")
    while True:
        try:
            number, frame = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        ends[number].send(b"\2\0\0\0\0" + bytes([number]) + b"\2\0\0\0\0\x0f" + frame[12:])
        out = []
        while select.select(ends, [], [], 0 if out else 0.004)[0]:
            for i, other in enumerate(ends):
                while select.select([other], [], [], 0)[0]:
                    got, address = other.recvfrom(65536)
                    if address[2] != socket.PACKET_OUTGOING:
                        out.append((i, got))
        _say(out)


if __name__ == "__main__":
    _serve()
