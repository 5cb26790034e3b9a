"""A Linux router in a network namespace of its own, for comparing our verdicts with the kernel's.

    client0 ==== vif1.0 [ Linux: forwards, nftables ] eth0 ==== wire0

All four ends of the two cables are in the one namespace; frames are put onto client0 and whatever
arrives at wire0 was forwarded. Nobody asks by ARP. The namespace lives in a child process (this
very file run as a program), so that the test's own network is never touched and nothing is left.

Needs root, or leave to make user namespaces, and the programs nft and ip.
"""
import os
import pickle
import select
import shutil
import socket
import struct
import subprocess
import sys

VIF_MAC = b"\x02\x00\x00\x00\x00\x01"
CLIENT_MAC = b"\x02\x00\x00\x00\x00\x02"
ETHERNET = VIF_MAC + CLIENT_MAC + b"\x08\x00"
BATCH = 100  # frames sent before looking: they must all fit the receiving socket's buffer
_LAST = 0xFFFF  # identification of the frame that ends a batch
# UDP from 10.136.0.1, which every rule set of a test lets pass
_ENDING = bytes.fromhex("4500001c 00000000 40110000 0a880001 c0000201") + struct.pack("!HHHH", 1, 1, 8, 0)


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
        self.child.wait(10)
        self.child.stdout.close()
        self.child.stderr.close()

    def load(self, nft):
        """Replace all nftables rules by this text. ValueError with nft's words if it refuses."""
        complaint = self._ask(("load", nft))
        if complaint:
            raise ValueError(complaint)

    def forwarded(self, datagrams):
        """Which of the IPv4 datagrams come out at the wire: a list of bools. Any number of them."""
        return self._ask(("forward", datagrams))

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
        "link set eth0 arp off",
        "address add 10.137.255.254/32 dev vif1.0",
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
        ("ipv4/ip_forward", 1),
        ("ipv6/conf/all/disable_ipv6", 1),
    ):
        with open("/proc/sys/net/" + name, "w") as setting:
            setting.write("%d" % value)


def _forward(client, wire, datagrams):
    """Send in batches, each closed by one frame that is always forwarded; note what arrives before it.

    Frames stay in order, because all of this happens on one processor.
    """
    arrived = [False] * len(datagrams)
    for start in range(0, len(datagrams), BATCH):
        batch = datagrams[start : start + BATCH]
        for i, datagram in enumerate(batch):
            client.send(ETHERNET + _numbered(datagram, i))
        client.send(ETHERNET + _numbered(_ENDING, _LAST))
        while True:
            if not select.select([wire], [], [], 10)[0]:
                raise SystemExit("the last frame of a batch did not arrive")
            frame = wire.recv(65536)
            if frame[14] != 0x45:
                continue
            (ident,) = struct.unpack_from("!H", frame, 18)
            if ident == _LAST:
                break
            if ident < len(batch) and frame[26:30] == batch[ident][12:16]:
                arrived[start + ident] = True
    return arrived


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
    client = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    client.bind(("client0", 0))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    wire.bind(("wire0", 0x0800))
    _say("ready")
    while True:
        try:
            question, value = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if question == "load":
            done = _run("nft", "-f", "-", text="flush ruleset\n" + value)
            _say(done.stdout if done.returncode else "")
        else:
            _say(_forward(client, wire, value))


def _say(answer):
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
