"""Questions and answers of ICMP are never each other: a flow lets the one out and the other in, nothing else.

An identifier that equals the type's number once made the words of a question and its answer the same.
"""
import pytest
from packets import Look, icmp_message, ip
from packets import ICMP as PROTO
from scenes import A, B, OURS, SERVER

from tests.network import Network

QUERIES = {8: 0, 13: 14}  # question: answer


def query(src, dst, kind, ident):
    return ip(src, dst, PROTO, icmp_message(kind, 0, ident << 16 | 1, b"times of day" if kind > 8 else b"ping"))


@pytest.mark.parametrize("kind", QUERIES)
def test_no_identifier_makes_a_question_of_an_answer(kind):
    """All 65,536: out goes the question, in comes its answer; an unasked question and an unasked answer do not."""
    with Network(capacity=65536) as net:
        client = net.client(A, ["action=accept proto=icmp icmptype=%d" % kind])
        for ident in range(65536):
            client.send(query(A, SERVER, kind, ident))
            outside = Look(net.uplink.recv()).echo_id
            for inside in {ident, outside}:
                net.uplink.send(query(SERVER, OURS, kind, inside))  # a question of the server's own
                client.send(query(A, SERVER, QUERIES[kind], inside))  # an answer that nobody asked for
            assert not client.frames and not net.uplink.frames, ident
            net.uplink.send(query(SERVER, OURS, QUERIES[kind], outside))
            back = Look(client.recv())
            assert (back.kind, back.echo_id, back.dst) == (QUERIES[kind], ident, A)


@pytest.mark.parametrize("kind", QUERIES)
def test_between_clients_too(kind):
    with Network() as net:
        a, b = net.client(A), net.client(B)
        net.allow((A, B))
        for ident in list(range(32)) + [kind << 8, 0x8000 | kind, 0x8000, 0xFFFF]:
            a.send(query(A, B, kind, ident))
            assert Look(b.recv()).echo_id == ident
            b.send(query(B, A, kind, ident))  # the other way a setting would be needed
            assert Look(b.recv()).code == 13
            a.send(query(A, B, QUERIES[kind], ident))
            assert not a.frames and not b.frames, ident
            b.send(query(B, A, QUERIES[kind], ident))
            assert Look(a.recv()).echo_id == ident
