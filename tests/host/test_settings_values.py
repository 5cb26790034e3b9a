"""What stands in settings: good values, bad ones, and any text at all, which raises nothing and opens nothing."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.qubes import values
from firewall.wire.address import parse4, text4

A, B, NET = parse4("10.137.0.5"), parse4("10.137.0.6"), parse4("192.0.2.0")
ANY = values.ANY
WORDS = ["tcp", "udp", "icmp", ":", ">", "-", "/", ".", "0", "1", "53", "65535", "65536", "00", "10.137.0.5",
         "10.137.0.6", "224.0.0.1", "32", "33", "block", "all", "*.", "example", "on", "off", "info", " ", "\n",
         "\u0661", "\xb2"]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
PARSERS = [values.nothing, values.number, values.client, values.client_or_all, values.pair, values.forward,
           values.block, values.end, values.rate, values.level, values.switch, values.wildcard]

GOOD = [
    (values.pair, "10.137.0.5>10.137.0.6", (A, B, ANY, ANY, ANY)),
    (values.pair, "10.137.0.5>10.137.0.6:tcp:80-90", (A, B, 6, 80, 90)),
    (values.pair, "10.137.0.5>10.137.0.6:udp:53", (A, B, 17, 53, 53)),
    (values.forward, "tcp:8080>10.137.0.5:80", (6, 8080, A, 80, 0, 0xFFFFFFFF)),
    (values.forward, "udp:1>10.137.0.5:65535:192.0.2.7/24", (17, 1, A, 65535, NET, NET + 255)),
    (values.forward, "udp:1>10.137.0.5:2:192.0.2.7/32", (17, 1, A, 2, NET + 7, NET + 7)),
    (values.forward, "udp:1>10.137.0.5:2:0.0.0.0/0", (17, 1, A, 2, 0, 0xFFFFFFFF)),
    (values.block, "block", True),
    (values.end, "udp:192.0.2.9:51820", (17, NET + 9, 51820)),
    (values.rate, "1", 125000),
    (values.rate, "0.5", 62500),
    (values.rate, "2.125", 265625),
    (values.rate, "100000", 12500000000),
    (values.rate, "0.01", 1250),
    (values.level, "debug", "debug"),
    (values.switch, "on", True),
    (values.switch, "off", False),
    (values.wildcard, "*.example.org", "*.example.org"),
    (values.wildcard, "*.org", "*.org"),
    (values.number, "0", 0),
    (values.number, "9999", 9999),
    (values.client_or_all, "all", ANY),
    (values.client, "10.137.0.5", A),
    (values.nothing, "", 0),
]
PAIRS = """
    10.137.0.5 10.137.0.5>10.137.0.5 10.137.0.5>10.137.0.6: 10.137.0.5>10.137.0.6:tcp 10.137.0.5>10.137.0.6:icmp:1-2
    10.137.0.5>10.137.0.6:tcp:9-8 10.137.0.5>10.137.0.6:tcp:0-8 10.137.0.5>10.137.0.6:tcp:1-65536 10.137.0.5>all
    10.137.0.5>10.137.0.6:tcp:- 10.137.0.5>10.137.0.6:tcp:1- 10.137.0.5>10.137.0.6>10.137.0.7 10.137.0.5>10.137.0.06
    10.137.0.5>10.137.0.6:TCP:1-2 10.137.0.5>10.137.0.6:tcp:1-2:3 0.0.0.0>10.137.0.6 10.137.0.5>224.0.0.1"""
FORWARDS = """
    tcp:80 tcp>10.137.0.5:80 tcp:80>10.137.0.5 tcp:0>10.137.0.5:80 tcp:80>10.137.0.5:0 icmp:8>10.137.0.5:80
    tcp:80>10.137.0.5:80:10.0.0.1 tcp:80>10.137.0.5:80:10.0.0.0/33 tcp:80>10.137.0.5:80: tcp:80>10.137.0.5:80:/8
    tcp:080>10.137.0.5:80 tcp:80>10.137.0.5:80:10.0.0.0/8/8 tcp:80>127.0.0.1:80 tcp:80-90>10.137.0.5:80"""
ENDS = "udp:192.0.2.9 udp:192.0.2.9: udp:192.0.2.9:0 icmp:192.0.2.9:1 udp:192.0.2.9:1:1 udp:vpn.example.org:1"
NAMES = "example.org *example.org *. * *.a..b *.A.org a.*.org *.exa*mple.org *." + "a" * 64
BAD = [
    (values.pair, PAIRS),
    (values.forward, FORWARDS),
    (values.block, "Block block2 allow"),
    (values.end, ENDS),
    (values.rate, "0 0.0 0.009 100000.001 100001 -1 +1 1. .5 1.0000 1e3 1,5 ten 01 1.5.5"),
    (values.level, "INFO all 3"),
    (values.switch, "1 0 true Off"),
    (values.wildcard, NAMES),
    (values.number, "-1 10000 01 1.0 x"),
    (values.client, "all 0.0.0.1 127.0.0.1 224.0.0.1 255.255.255.255 10.137.0.256 10.137.0.5/32 ::1"),
    (values.nothing, "x 0"),
]


@pytest.mark.parametrize("parse, text, value", GOOD)
def test_good_values(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize("parse, texts", BAD)
def test_bad_values(parse, texts):
    for text in texts.split() + ([] if parse is values.nothing else [""]) + [" "]:
        assert parse(text) is None, text


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(text=TEXT)
def test_any_text_raises_nothing(parse, text):
    parse(text)


@given(text=TEXT)
def test_what_opens_says_so_in_full(text):
    """A pair or a forward comes only from text that is exactly what its value would be written as."""
    names = {6: "tcp", 17: "udp"}
    found = values.pair(text)
    if found:
        a, b, proto, first, last = found
        base = "%s>%s" % (text4(a), text4(b))
        more = "" if proto == ANY else ":%s:%d" % (names[proto], first)
        assert text in (base + more, base + more + "-%d" % last)
    found = values.forward(text)
    if found:
        proto, port, address, inside, low, high = found
        base = "%s:%d>%s:%d" % (names[proto], port, text4(address), inside)
        if text == base:
            assert (low, high) == (0, 0xFFFFFFFF)
        else:
            assert text.startswith(base + ":") and "/" in text and low <= high


@given(kbit=st.integers(10, 100000000))
def test_any_rate_there_is(kbit):
    assert values.rate("%d.%03d" % (kbit // 1000, kbit % 1000)) == kbit * 125
