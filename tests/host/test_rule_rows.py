"""Rules in words (firewall/fast/rows.py) are what was put in."""
import random

import pytest
from test_rules import entries

import rulegen
from firewall.fast.rows import Rows
from firewall.rules import text

FIELDS = ("number", "accept", "proto", "low", "high", "host", "dns", "first", "last", "never", "beyond")
EDGES = (
    "action=accept",
    "action=drop dst4=0.0.0.0/0",
    "action=accept dst4=255.255.255.255/32 proto=tcp dstports=65535-65535",
    "action=drop proto=udp dstports=0-0",
    "action=accept proto=tcp dstports=1-65536",
    "action=drop dsthost=a.example.org",
    "action=accept specialtarget=dns dstports=1-9",
    "action=drop proto=icmp icmptype=255",
    "action=accept dsthost=0.0.0.0",
)
FAMILY6 = ("action=accept dst6=2001:db8::/32 proto=tcp dstports=1-2", "action=drop dst6=::/0", "action=accept dst6=::1")


def fields(rule):
    return [getattr(rule, name) for name in FIELDS]


@pytest.mark.parametrize("family", [4, 6])
def test_a_rule_comes_out_as_it_went_in(family):
    texts = list(EDGES) + [rulegen.rule(random.Random(seed)) for seed in range(300)]
    if family == 6:
        texts = FAMILY6
    made, rows = [], Rows(text.Rule)
    for i, rule in enumerate(texts):
        made.append(text._rule("%04d" % (9999 - i), rule, family))
        rows.append(made[-1])
    assert len(rows) == len(made) and [fields(rule) for rule in rows] == [fields(rule) for rule in made]
    assert fields(rows[-1]) == fields(made[-1]) and fields(rows[len(made) - 1]) == fields(made[-1])
    with pytest.raises(IndexError):
        rows[len(made)]
    rows.clear()
    assert len(rows) == 0 and not list(rows)


def test_what_was_read_is_in_words():
    parsed = text.parse(entries("action=accept"), "10.137.0.7")
    assert isinstance(parsed.rules, Rows)
