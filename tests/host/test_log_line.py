"""Log lines: the date, what becomes of a peer's octets, how many lines a subsystem may write."""
import calendar
import datetime

from hypothesis import given
from hypothesis import strategies as st

import logline

SECOND = 1000000000


def utc(*fields):
    return calendar.timegm(fields) * SECOND


@given(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31)))
def test_timestamp_is_iso_8601(moment):
    ns = calendar.timegm(moment.timetuple()) * SECOND + moment.microsecond * 1000 + 999
    assert logline.timestamp(ns) == moment.isoformat(timespec="milliseconds") + "Z"


def test_every_day_of_400_years():
    day = datetime.date(1970, 1, 1)
    for n in range(366 * 400):
        assert logline.timestamp(n * 86400 * SECOND)[:10] == day.isoformat()
        day += datetime.timedelta(days=1)


def test_a_whole_line():
    at = utc(2026, 11, 21, 4, 30, 0) + 123456789
    assert logline.line(at, logline.WARNING, "netback", "vif 7.0: link closed") == (
        b"2026-11-21T04:30:00.123Z warning netback: vif 7.0: link closed\n"
    )


@given(st.one_of(st.text(), st.binary()), st.integers(10, 400))
def test_printable_is_short_printable_ascii(text, limit):
    out = logline.printable(text, limit)
    assert len(out) <= limit
    assert all(0x20 <= ord(character) < 0x7F for character in out)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=logline.TEXT_MAX))
def test_printable_leaves_plain_text_alone(text):
    assert logline.printable(text) == text


def test_control_octets_are_escaped():
    assert logline.printable("a\x1b[2J\n\r\x7f\0\u00e9") == r"a\x1b[2J\x0a\x0d\x7f\x00\xc3\xa9"
    assert logline.printable(b"\xff\x9b") == r"\xff\x9b"


def test_what_is_too_long_ends_in_dots():
    assert logline.printable("x" * 20, 20) == "x" * 20
    assert logline.printable("x" * 21, 20) == "x" * 17 + "..."
    assert logline.printable("x" * 17 + "\0", 20) == "x" * 17 + "..."


# ---- how many ------------------------------------------------------------------------------------


def written(limit, now, level, n):
    return sum(limit.allow(now, level) for _ in range(n))


def test_a_burst_then_one_line_a_period():
    limit = logline.Limit(0)
    plain = limit.BURST - limit.RESERVE
    assert written(limit, 0, logline.INFO, 1000) == plain
    assert written(limit, limit.PERIOD_NS - 1, logline.INFO, 10) == 0
    assert written(limit, limit.PERIOD_NS, logline.INFO, 10) == 1
    assert written(limit, 11 * limit.PERIOD_NS, logline.INFO, 100) == 10
    assert written(limit, 1000 * limit.PERIOD_NS, logline.INFO, 100) == plain


def test_errors_have_a_reserve_that_others_cannot_use_up():
    limit = logline.Limit(0)
    written(limit, 0, logline.WARNING, 1000)
    assert written(limit, 0, logline.ERROR, 1000) == limit.RESERVE


def test_the_count_is_due_once_when_it_is_calm():
    limit = logline.Limit(0)
    refused = 100 - written(limit, 0, logline.DEBUG, 100)
    assert limit.due(limit.CALM_NS - 1) == 0
    assert limit.due(limit.CALM_NS) == refused
    assert limit.due(limit.CALM_NS) == 0


def test_an_endless_flood_is_told_of_every_minute():
    limit = logline.Limit(0)
    told = []
    step = SECOND // 10
    lines = range(0, 5 * limit.REPORT_NS, step)
    passed = 0
    for now in lines:
        passed += limit.allow(now, logline.INFO)
        told.append(limit.due(now))
    assert 4 <= sum(n > 0 for n in told) <= 5
    assert sum(told) + passed + limit.suppressed == len(lines)


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 3)), max_size=200))
def test_never_more_than_the_budget(steps):
    limit = logline.Limit(0)
    now = passed = 0
    for wait, level in steps:
        now += wait
        passed += limit.allow(now, level)
    assert passed <= limit.BURST + now // limit.PERIOD_NS
    assert passed + limit.suppressed == len(steps)
