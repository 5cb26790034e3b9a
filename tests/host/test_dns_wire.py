"""DNS messages: what we ask, and what of an answer counts. Messages are built here, by RFC 1035 alone."""
import random
import struct
import sys

import pytest

from firewall.names import dns

HOST = "www.example.org"


def name(text):
    return b"".join(bytes([len(label)]) + label.encode("latin-1") for label in text.split(".") if label) + b"\0"


def record(owner, what, data, ttl=300, family=1):
    owner = name(owner) if isinstance(owner, str) else owner
    return owner + struct.pack(">HHIH", what, family, ttl, len(data)) + data


def message(*records, ident=7, flags=0x8180, host=HOST, kind=1, family=1, authorities=(), answers=None, questions=1):
    count = len(records) if answers is None else answers
    head = struct.pack(">6H", ident, flags, questions, count, len(authorities), 0)
    return head + name(host) + struct.pack(">HH", kind, family) + b"".join(records + tuple(authorities))


def a(owner, *octets, ttl=300):
    return record(owner, 1, bytes(octets), ttl)


def cname(owner, target, ttl=300):
    return record(owner, 5, name(target) if isinstance(target, str) else target, ttl)


def address(*octets):
    return int.from_bytes(bytes(octets), "big")


SELF = b"\xc0\x0c"
ONE = [(address(192, 0, 2, 1), 300)]


def test_a_question_is_one_question():
    octets = dns.question(0xABCD, "a-b.example.org")
    assert octets == b"\xab\xcd\x01\0\0\1\0\0\0\0\0\0" + name("a-b.example.org") + b"\0\1\0\1"
    assert dns.asked(octets) == (0xABCD, "a-b.example.org", 1)
    assert dns.asked(dns.question(1, HOST, dns.AAAA)) == (1, HOST, 28)


@pytest.mark.parametrize("wrong", [
    b"", bytes(11), dns.question(1, HOST)[:-1], dns.question(1, HOST)[:20], message(),
    struct.pack(">6H", 1, 0x100, 2, 0, 0, 0) + name(HOST) + b"\0\1\0\1",
    struct.pack(">6H", 1, 0x2100, 1, 0, 0, 0) + name(HOST) + b"\0\1\0\1",
    struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + name(HOST) + b"\0\1\0\3",
    struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + name("a b.example.org") + b"\0\1\0\1",
    struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\0\0\1\0\1",
])
def test_what_is_no_question(wrong):
    assert dns.asked(wrong) is None


def test_addresses_of_the_name_count():
    assert dns.answer(message(a(SELF, 192, 0, 2, 1)), 7, HOST) == ONE
    assert dns.answer(message(a(HOST, 192, 0, 2, 1)), 7, HOST) == ONE
    assert dns.answer(message(a("WWW.Example.ORG", 192, 0, 2, 1), host="www.EXAMPLE.org"), 7, HOST) == ONE
    two = message(a(SELF, 192, 0, 2, 1), a(SELF, 192, 0, 2, 2, ttl=5))
    assert dns.answer(two, 7, HOST) == ONE + [(address(192, 0, 2, 2), 5)]
    six = message(record(SELF, 28, bytes(range(16))), kind=28)
    assert dns.answer(six, 7, HOST, dns.AAAA) == [(int.from_bytes(bytes(range(16)), "big"), 300)]


@pytest.mark.parametrize("other", [
    message(a(SELF, 1, 2, 3, 4), ident=8), message(a(SELF, 1, 2, 3, 4), flags=0x0180),
    message(a(SELF, 1, 2, 3, 4), host="www.example.net"), message(a(SELF, 1, 2, 3, 4), kind=28),
    message(a(SELF, 1, 2, 3, 4), family=3), message(a(SELF, 1, 2, 3, 4), questions=0),
    message(a(SELF, 1, 2, 3, 4), questions=2), message(a(SELF, 1, 2, 3, 4), flags=0xA180),
    b"", bytes(11), message()[:20],
])
def test_behaviour_81_an_answer_to_another_question_is_none(other):
    assert dns.answer(other, 7, HOST) is None


def test_what_answers_say_without_addresses():
    assert dns.answer(message(flags=0x8183), 7, HOST) == dns.NONE
    assert dns.answer(message(), 7, HOST) == dns.NONE
    for rcode in (1, 2, 4, 5, 9, 15):
        assert dns.answer(message(a(SELF, 1, 2, 3, 4), flags=0x8180 | rcode), 7, HOST) == dns.FAILED
    soa = record("example.org", 6, name("a.") + name("b.") + bytes(20))
    server = record("org", 2, name("ns.example.net"))
    assert dns.answer(message(authorities=(soa,)), 7, HOST) == dns.NONE
    assert dns.answer(message(authorities=(server,)), 7, HOST) == dns.FAILED  # sends us elsewhere
    assert dns.answer(message(authorities=(server, soa)), 7, HOST) == dns.NONE
    assert dns.answer(message(authorities=(server,), flags=0x8580), 7, HOST) == dns.NONE


def test_behaviour_85_of_a_truncated_answer_nothing_counts():
    assert dns.answer(message(a(SELF, 192, 0, 2, 1), flags=0x8380), 7, HOST) == dns.TRUNCATED


def test_behaviour_84_chains_are_followed_in_any_order_and_bounded():
    chain = [cname("a%d.example.net" % i if i else HOST, "a%d.example.net" % (i + 1)) for i in range(8)]
    end = a("a8.example.net", 192, 0, 2, 1)
    assert dns.answer(message(*chain, end), 7, HOST) == ONE
    assert dns.answer(message(end, *reversed(chain)), 7, HOST) == ONE
    longer = chain + [cname("a8.example.net", "a9.example.net"), a("a9.example.net", 192, 0, 2, 1)]
    assert dns.answer(message(*longer), 7, HOST) == dns.FAILED
    short = [cname(HOST, "b.example.net", ttl=40), a("b.example.net", 192, 0, 2, 1, ttl=300)]
    assert dns.answer(message(*short), 7, HOST) == [(address(192, 0, 2, 1), 40)]
    assert dns.answer(message(cname(HOST, HOST)), 7, HOST) == dns.FAILED
    assert dns.answer(message(cname(HOST, "b.net"), cname("b.net", HOST)), 7, HOST) == dns.FAILED
    assert dns.answer(message(cname(HOST, "b.net")), 7, HOST) == dns.NONE


def test_behaviour_84_records_about_others_are_ignored():
    assert dns.answer(message(a("www.example.net", 6, 6, 6, 6)), 7, HOST) == dns.NONE
    assert dns.answer(message(a(SELF, 192, 0, 2, 1), a("example.org", 6, 6, 6, 6)), 7, HOST) == ONE
    assert dns.answer(message(cname("other.org", "b.net"), a("b.net", 6, 6, 6, 6)), 7, HOST) == dns.NONE
    assert dns.answer(message(record(SELF, 1, bytes(4), family=3)), 7, HOST) == dns.NONE
    assert dns.answer(message(a("www example.org", 6, 6, 6, 6), a(SELF, 192, 0, 2, 1)), 7, HOST) == ONE
    dotted = b"\x0bwww.example\x03org\0"  # a dot in a label is none between labels
    assert dns.answer(message(a(dotted, 6, 6, 6, 6)), 7, HOST) == dns.NONE
    glue = message(a(SELF, 192, 0, 2, 1)) + a(SELF, 6, 6, 6, 6)  # behind what the counts name
    assert dns.answer(glue, 7, HOST) == ONE


TAIL = struct.pack(">HHIH", 1, 1, 300, 4) + b"\xc0\0\2\1"
END = len(message())  # where the first record begins


def pointer(at):
    return struct.pack(">H", 0xC000 | at)


@pytest.mark.parametrize("owner", [
    pointer(END), pointer(END + 2), pointer(END + 40), pointer(0x3FFF), pointer(0), pointer(11),
    b"\1a" + pointer(END), b"\1a" + pointer(END + 2), b"\x40" + b"a" * 64 + b"\0", b"\x80a\0", b"\xbfa\0",
    b"\x3f" + b"a" * 20, b"\xc0",
], ids=["itself", "forward", "far", "outside", "header", "end", "loop", "after", "64", "80", "bf", "short", "half"])
def test_behaviour_83_broken_names_make_the_answer_nonsense(owner):
    assert dns.answer(message(owner + TAIL), 7, HOST) == dns.FAILED
    alias = message(cname(SELF, owner))
    assert dns.answer(alias, 7, HOST) in (dns.FAILED, dns.NONE)


def test_behaviour_83_pointers_to_pointers_are_followed_and_ended():
    # each name is a label and a pointer to the one before: 60 of them are more octets than a name may have
    records, at, names = [], END, []
    for i in range(60):
        owner = b"\x05abcde" + pointer(at - 24 if i else 12)
        records.append(owner + struct.pack(">HHIH", 99, 1, 0, 6) + b"dddddd")
        names.append(at)
        at += len(records[-1])
    assert {len(each) for each in records} == {24}
    assert dns.answer(message(*records[:20], a(SELF, 192, 0, 2, 1)), 7, HOST) == ONE
    assert dns.answer(message(*records, a(SELF, 192, 0, 2, 1)), 7, HOST) == dns.FAILED


def test_behaviour_83_long_names_and_labels():
    label = "a" * 63
    longest = ".".join([label] * 3 + ["b" * 61])
    assert len(longest) == 253
    assert dns.answer(message(a(SELF, 192, 0, 2, 1), host=longest), 7, longest) == ONE
    assert dns.asked(dns.question(1, longest)) == (1, longest, 1)
    assert dns.answer(message(a(longest + "b", 1, 2, 3, 4)), 7, HOST) == dns.FAILED


def test_behaviour_83_short_records():
    whole = message(a(SELF, 192, 0, 2, 1), a(HOST, 192, 0, 2, 2))
    for octets in range(END, len(whole)):
        assert dns.answer(whole[:octets], 7, HOST) == dns.FAILED
    for size in (0, 3, 5, 16):
        assert dns.answer(message(record(SELF, 1, bytes(size))), 7, HOST) == dns.FAILED
    assert dns.answer(message(a(SELF, 1, 2, 3, 4), answers=2), 7, HOST) == dns.FAILED
    assert dns.answer(message(cname(SELF, name("b.net") + b"x")), 7, HOST) == dns.FAILED


def test_many_records_are_read_up_to_a_bound():
    many = message(*[a(SELF, 10, 0, i >> 8, i & 255) for i in range(1000)])
    assert len(dns.answer(many, 7, HOST)) == 320


def test_behaviour_86_a_negative_ttl_is_none():
    assert dns.answer(message(a(SELF, 192, 0, 2, 1, ttl=0x80000000)), 7, HOST) == [(address(192, 0, 2, 1), 0)]


def test_ten_thousand_mutated_answers_are_survived():
    """Whatever the octets: one of the results, and what counts is in the message."""
    chance = random.Random(11)
    good = [
        message(cname(SELF, "b.example.net"), a("b.example.net", 192, 0, 2, 1)),
        message(*[a(SELF, 192, 0, 2, i) for i in range(64)]),
        message(flags=0x8183, authorities=(record("example.org", 6, name("a.") + name("b.") + bytes(20)),)),
        message(cname(HOST, pointer(16)), a(pointer(16), 192, 0, 2, 1)),
    ]
    seen = set()
    for _ in range(10000):
        octets = bytearray(chance.choice(good))
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            kind = chance.randrange(5)
            at = chance.randrange(len(octets)) if chance.random() < 0.5 else min(chance.randrange(60), len(octets) - 1)
            if kind == 0:
                octets[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                octets[at] = chance.choice((0, 1, 0x3F, 0x40, 0xC0, 0xFF))
            elif kind == 2:
                del octets[at : at + chance.randrange(1, 9)]
            elif kind == 3:
                octets[at:at] = chance.randbytes(chance.randrange(1, 9))
            elif at + 2 <= len(octets):
                octets[at : at + 2] = pointer(chance.randrange(len(octets) + 4) & 0x3FFF)
            if not octets:
                octets = bytearray(1)
        result = dns.answer(bytes(octets), 7, HOST)
        seen.add(result if not isinstance(result, list) else "addresses")
        if isinstance(result, list):
            assert 0 < len(result) <= 320
            assert all(each.to_bytes(4, "big") in octets and 0 <= ttl < 1 << 31 for each, ttl in result)
        dns.asked(bytes(octets))
    assert seen == {None, dns.NONE, dns.FAILED, dns.TRUNCATED, "addresses"}


BASE = 12 + len(name(HOST)) + 4 + 11  # where the data of a record behind the question begins, whose owner is the root


def pointer(at):
    return (0xC000 | at).to_bytes(2, "big")


@pytest.mark.parametrize("data, last", [
    (pointer(12) + b"".join(pointer(BASE + 2 * i) for i in range(2000)), BASE + 4000),
    (b"\1a" * 126 + b"\0", BASE),
], ids=("pointers to pointers", "a name of 126 labels"))
def test_what_a_message_costs_is_bounded(data, last):
    """In lines run of names/dns.py: a liar's message may have 64 KB, and packets wait until it is read."""
    octets = message(record(b"\0", 99, data), *[record(pointer(last), 5, pointer(last)) for _ in range(300)])
    lines = [0]

    def trace(frame, event, _):
        lines[0] += event == "line"
        return trace if frame.f_code.co_filename == dns.__file__ else None

    sys.settrace(trace)
    try:
        assert dns.answer(octets, 7, HOST) == dns.FAILED
    finally:
        sys.settrace(None)
    assert lines[0] < 50000


def test_256_addresses_whose_names_are_written_out_are_read():
    found = dns.answer(message(*[a(HOST, 192, 0, 2, i) for i in range(256)]), 7, HOST)
    assert len(found) == 256
