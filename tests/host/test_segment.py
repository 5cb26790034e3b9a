"""Segmentation and checksum completion in software, against scapy's own arithmetic."""

import pytest
from firewall.packets.checksum_offload import fill
from firewall.packets.segment import segments
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

MAC = "fe:ff:ff:ff:ff:ff"


def super_frame(octets, flags="PA", sequence=1000, options=()):
    payload = bytes(i * 7 & 0xFF for i in range(octets))
    packet = Ether(src=MAC, dst=MAC) / IP(src="10.137.0.9", dst="192.0.2.50", id=0xFFFE, flags="DF") / TCP(
        sport=4001, dport=80, seq=sequence, ack=77, flags=flags, options=list(options)
    )
    return bytes(packet / payload), payload


@settings(max_examples=40)
@given(st.integers(1, 9000), st.integers(1, 1460), st.sampled_from(["A", "PA", "FPA", "CA"]), st.integers(0, 2**32 - 1))
def test_segments_add_up_to_the_super_frame(octets, gso, flags, sequence):
    frame, payload = super_frame(octets, flags, sequence, [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)])
    seen = b""
    pieces = list(segments(frame, len(frame), gso))
    for i, piece in enumerate(pieces):
        packet = Ether(bytes(piece))
        rebuilt = packet.copy()
        del rebuilt[IP].chksum, rebuilt[TCP].chksum
        again = Ether(bytes(rebuilt))
        assert packet[IP].chksum == again[IP].chksum
        assert packet[TCP].chksum == (again[TCP].chksum or 0xFFFF)
        assert packet[IP].len == len(piece) - 14 <= 20 + 32 + gso
        assert packet[IP].id == (0xFFFE + i) & 0xFFFF
        assert packet[TCP].seq == (sequence + len(seen)) & 0xFFFFFFFF
        last = i == len(pieces) - 1
        assert ("P" in packet[TCP].flags) == (last and "P" in flags)
        assert ("F" in packet[TCP].flags) == (last and "F" in flags)
        assert ("C" in packet[TCP].flags) == (i == 0 and "C" in flags)
        seen += bytes(packet[TCP].payload)
    assert seen == payload


@pytest.mark.parametrize("layer", [TCP, UDP])
@pytest.mark.parametrize("octets", [0, 1, 2, 27, 1400])
def test_completed_checksum_is_right(layer, octets):
    packet = Ether(src=MAC, dst=MAC) / IP(src="10.137.0.9", dst="192.0.2.50") / layer(sport=4001, dport=80) / bytes(octets)
    right = Ether(bytes(packet))
    blank = bytearray(bytes(packet))
    at = 14 + 20 + (16 if layer is TCP else 6)
    blank[at : at + 2] = b"\x12\x34"  # a seed, or anything
    frame = blank + b"padding of the wire"
    fill(frame, len(frame))
    assert Ether(bytes(frame))[layer].chksum == right[layer].chksum
