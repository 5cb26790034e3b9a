"""Cutting a datagram with options: which go into every piece, and what each piece's header then says."""
import struct

import pytest
from packets import total, udp, udp_datagram

from tests.network import Network

A, OURS, SERVER = "10.137.0.21", "10.138.0.2", "192.0.2.50"
STAMP = bytes((68, 4, 5, 0))  # not copied (its first bit is 0)
ALERT = bytes((148, 4, 0, 0))  # copied


@pytest.mark.parametrize("options, copied", [
    (b"", b""), (STAMP, b""), (ALERT, ALERT), (STAMP + ALERT, ALERT), (ALERT + STAMP, ALERT), (STAMP * 3, b""), (ALERT * 2, ALERT * 2),
])
def test_later_pieces_have_the_options_that_are_copied(options, copied):
    with Network() as net:
        client = net.client(A)
        data = bytes(i * 7 & 255 for i in range(4000))
        client.send(udp(A, 4001, SERVER, 80, data, options=options))
        pieces, body = [frame for frame, _, _ in net.uplink.frames], b""
        assert len(pieces) == 3
        for i, piece in enumerate(pieces):
            size = (piece[14] & 15) * 4
            assert piece[14] >> 4 == 4 and piece[34:14 + size] == (copied if i else options)
            assert total(piece[14:14 + size]) == 0xFFFF
            octets, word = struct.unpack("!H2xH", piece[16:22])
            assert octets == len(piece) - 14 <= 1500 and word == (0x2000 if i < 2 else 0) | len(body) // 8
            body += piece[14 + size:]
        assert body == udp_datagram(OURS, 4001, SERVER, 80, data)
