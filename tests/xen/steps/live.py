"""Rule commits, and what crosses the uplink afterwards, seen on dom0's interface towards the firewall."""
import select
import socket
import struct
import time

import qubesdb

_EVERYTHING = 3  # ETH_P_ALL, Linux include/uapi/linux/if_ether.h
_OUTGOING = 4  # PACKET_OUTGOING, Linux include/uapi/linux/if_packet.h
_TCP, _ICMP = 6, 1


class Wire:
    """Every IPv4 packet on an interface, with the time of dom0's monotonic clock at which it was read."""

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        self.socket.bind((interface, _EVERYTHING))

    def packets(self, seconds, stop=lambda: False):
        """(time, "out" or "in" as the firewall sees it, protocol, destination's and source's port or 0s) until it is late or stop()."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop():
            if not select.select([self.socket], [], [], 0.002)[0]:
                continue
            octets, (_, kind, sort, _, _) = self.socket.recvfrom(1 << 16)
            now = time.monotonic()
            if kind == 0x0800:
                ports = struct.unpack_from(">HH", octets, (octets[0] & 15) * 4) if octets[9] == _TCP else (0, 0)
                yield now, "in" if sort == _OUTGOING else "out", octets[9], ports


def stream_after_commit(domid, interface, address, rules, port, seconds):
    """Commit rules; packets of the TCP stream with the remote port: {"before", "leaked", "came", "handled"}.

    before: those from the firewall until the commit was given to it; leaked: those from the firewall after it had
    written that the rules are in force, in so many seconds; came: those that the netvm sent it in that time;
    handled: seconds from commit to then. All counts are of packets.
    """
    wire = Wire(interface)
    mine = [packet for packet in wire.packets(1.0) if port in packet[3]]
    before = qubesdb.ask(domid, "state")["handled"].get(address, 0)
    began = qubesdb.ask(domid, "commit", address, rules)
    while qubesdb.ask(domid, "state")["handled"].get(address, 0) == before:
        if time.monotonic() > began + 10:
            return None
    handled = time.monotonic()
    for _ in wire.packets(0.02):
        pass  # what had been put on the wire before
    after = [packet for packet in wire.packets(seconds) if port in packet[3]]
    return {"before": sum(way == "out" for _, way, _, _ in mine), "handled": handled - began,
            "leaked": sum(way == "out" for _, way, _, _ in after), "came": sum(way == "in" for _, way, _, _ in after)}


def opens_after(domid, interface, address, rules, seconds):
    """Seconds from a commit to the first echo request of a client that it lets out; None after so many."""
    wire = Wire(interface)
    if any(protocol == _ICMP and way == "out" for _, way, protocol, _ in wire.packets(0.2)):
        raise ValueError("echo requests pass already")
    began = qubesdb.ask(domid, "commit", address, rules)
    for now, way, protocol, _ in wire.packets(seconds):
        if protocol == _ICMP and way == "out":
            return now - began
    return None


def closes_after(domid, interface, address, rules, seconds):
    """Seconds from a commit to the last echo request that passed, which must be silent for half of so many; else None."""
    wire = Wire(interface)
    if not any(protocol == _ICMP and way == "out" for _, way, protocol, _ in wire.packets(0.2)):
        raise ValueError("no echo requests pass")
    last = began = qubesdb.ask(domid, "commit", address, rules)
    for now, way, protocol, _ in wire.packets(seconds):
        if protocol == _ICMP and way == "out":
            last = max(last, now)
    return last - began if time.monotonic() - last > seconds / 2 else None
