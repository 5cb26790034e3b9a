"""A Linux router in a network namespace of its own, for comparing our verdicts with the kernel's.

    client0 ==== vif1.0 [ Linux: forwards, nftables ] eth0 ==== wire0

All four ends of the two cables are in the one namespace; frames are put onto client0 or wire0, and
what comes out at them is what a client or the netvm would have seen. Nobody asks by ARP. The
addresses are those of Qubes: the router's own, 10.138.0.2, is the clients' gateway and the uplink's
address. The namespace lives in a child process (this very file run as a program), so that the
test's own network is never touched and nothing is left.

Needs root, or leave to make user namespaces, and the programs nft and ip.
"""
import os
import pickle
import random
import select
import shutil
import socket
import struct
import subprocess
import sys

CLIENT, UPLINK = 0, 1  # sides
_HEADER = (  # of a frame put onto client0, wire0
    b"\x02\x00\x00\x00\x00\x01" + b"\x02\x00\x00\x00\x00\x02" + b"\x08\x00",
    b"\x02\x00\x00\x00\x00\x03" + b"\x02\x00\x00\x00\x00\x04" + b"\x08\x00",
)
BATCH = 100  # frames sent before looking: they must all fit the receiving socket's buffer
_LAST = 0xFFFF  # identification of the frame that ends a batch
# UDP from 10.136.0.1, which every rule set of a test lets pass
_ENDING = bytes.fromhex("4500001c 00000000 40110000 0a880001 c0000201") + struct.pack("!HHHH", 1, 1, 8, 0)


def seed():
    """For a comparison: SEED of the environment, 1 in CI (a red run must be red again), else a new one. Printed."""
    value = int(os.environ.get("SEED") or ("1" if os.environ.get("CI") else random.SystemRandom().getrandbits(32)))
    print("SEED=%d" % value)
    return value


class Unavailable(Exception):
    """No namespace can be had here: why."""


class Router:
    """Use as a context. Forwards by what load() put in; a new one forwards nothing."""

    def __enter__(self):
        for program in ("nft", "ip", "unshare"):
            if _which(program) is None:
                raise Unavailable("no program %s" % program)
        command = [_which("unshare"), "--net", "--kill-child"]
        if os.geteuid() != 0:
            command += ["--user", "--map-root-user"]
        self.child = subprocess.Popen(
            command + [sys.executable, os.path.abspath(__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert pickle.load(self.child.stdout) == "ready"
        except EOFError:
            why = self.child.stderr.read().decode()
            if self.child.wait() == 1 and "Traceback" in why:
                raise RuntimeError(why) from None
            raise Unavailable(why) from None
        return self

    def __exit__(self, *exception):
        self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()
        self.child.stderr.close()

    def load(self, nft):
        """Replace all nftables rules by this text. ValueError with nft's words if it refuses."""
        complaint = self._ask(("load", nft))
        if complaint:
            raise ValueError(complaint)

    def set(self, name, value):
        """Write one of the namespace's settings, named below /proc/sys/net."""
        self._ask(("set", (name, value)))

    def forwarded(self, datagrams):
        """Which of the IPv4 datagrams come out at the wire: a list of bools. Any number of them."""
        return self._ask(("forward", datagrams))

    def exchange(self, side, datagram):
        """Put one IPv4 datagram on a side. (datagrams that come out at CLIENT, at UPLINK)."""
        return self._ask(("exchange", (side, datagram)))

    def _ask(self, question):
        pickle.dump(question, self.child.stdin)
        self.child.stdin.flush()
        try:
            return pickle.load(self.child.stdout)
        except EOFError:
            raise RuntimeError(self.child.stderr.read().decode()) from None


def _which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _run(*command, text=None):
    command = (_which(command[0]),) + command[1:]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _set_up():
    for command in (
        "link set lo up",
        "link add client0 type veth peer name vif1.0",
        "link add eth0 type veth peer name wire0",
        "link set vif1.0 address 02:00:00:00:00:01 arp off",
        "link set eth0 address 02:00:00:00:00:03 arp off",
        "address add 10.138.0.2/32 dev vif1.0",
        "address add 10.138.0.2/32 dev eth0",
        "link set client0 up",
        "link set vif1.0 up",
        "link set wire0 up",
        "link set eth0 up",
        "route add 10.137.0.0/16 dev vif1.0",
        "route add default dev eth0",
    ):
        done = _run("ip", *command.split())
        if done.returncode:
            raise SystemExit("ip %s: %s" % (command, done.stdout))
    for name, value in (
        ("ipv4/conf/all/rp_filter", 0),
        ("ipv4/conf/vif1.0/rp_filter", 0),
        ("ipv4/conf/eth0/rp_filter", 0),
        ("ipv4/icmp_ratelimit", 0),
        ("ipv4/icmp_msgs_per_sec", 1000000),
        ("ipv4/icmp_msgs_burst", 1000000),
        ("ipv4/conf/all/send_redirects", 0),
        ("ipv4/conf/vif1.0/send_redirects", 0),
        ("ipv4/ip_forward", 1),
        ("ipv6/conf/all/disable_ipv6", 1),
    ):
        _set(name, value)


def _set(name, value):
    with open("/proc/sys/net/" + name, "w") as setting:
        setting.write("%d" % value)


def _forward(cables, datagrams):
    """Send in batches; note what arrives before the frame that closes a batch."""
    arrived = [False] * len(datagrams)
    for start in range(0, len(datagrams), BATCH):
        batch = datagrams[start : start + BATCH]
        for i, datagram in enumerate(batch):
            cables[CLIENT].send(_HEADER[CLIENT] + _numbered(datagram, i))
        for datagram in _until_quiet(cables):
            (ident,) = struct.unpack_from("!H", datagram, 4)
            if ident < len(batch) and datagram[12:16] == batch[ident][12:16]:
                arrived[start + ident] = True
    _drain(cables[CLIENT])
    return arrived


def _exchange(cables, side, datagram):
    cables[side].send(_HEADER[side] + datagram)
    at_uplink = _until_quiet(cables)
    return _drain(cables[CLIENT]), at_uplink


def _until_quiet(cables):
    """Datagrams that came out at the uplink of all that was sent so far.

    One more is sent, which every rule set of a test forwards, and waited for. Frames stay in order,
    because all of this happens on one processor.
    """
    cables[CLIENT].send(_HEADER[CLIENT] + _numbered(_ENDING, _LAST))
    found = []
    while True:
        if not select.select([cables[UPLINK]], [], [], 10)[0]:
            raise SystemExit("the last frame of a batch did not arrive")
        datagram = cables[UPLINK].recv(65536)[14:]
        if struct.unpack_from("!H", datagram, 4)[0] == _LAST:
            return found
        found.append(datagram)


def _drain(cable):
    found = []
    while select.select([cable], [], [], 0)[0]:
        found.append(cable.recv(65536)[14:])
    return found


def _numbered(datagram, ident):
    """The datagram (without options) with this identification and a header checksum that is right."""
    words = list(struct.unpack_from("!10H", datagram))
    words[2] = ident
    words[5] = 0
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    words[5] = (total & 0xFFFF) + (total >> 16) ^ 0xFFFF
    return struct.pack("!10H", *words) + datagram[20:]


def _serve():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _set_up()
    cables = []
    for name in ("client0", "wire0"):
        cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        cable.bind((name, 0x0800))
        cables.append(cable)
    _say("ready")
    while True:
        try:
            question, value = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if question == "load":
            done = _run("nft", "-f", "-", text="flush ruleset\n" + value)
            _say(done.stdout if done.returncode else "")
        elif question == "set":
            _say(_set(*value))
        elif question == "forward":
            _say(_forward(cables, value))
        else:
            _say(_exchange(cables, *value))


def _say(answer):
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
