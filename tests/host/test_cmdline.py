"""The command line: what dom0 prepends for Linux does no harm, and no octets make it fail."""
from hypothesis import given
from hypothesis import strategies as st

import cmdline

QUBES = (  # what dom0 puts before kernelopts unless told not to
    b"root=/dev/mapper/dmroot ro nomodeset console=hvc0 rd_NO_PLYMOUTH rd.plymouth.enable=0 "
    b"plymouth.enable=0 swiotlb=2048 loglevel=debug"
)


def test_a_line_made_for_linux():
    words = cmdline.parse(QUBES)
    assert words["loglevel"] == "debug"
    assert words["ro"] == ""
    assert words["root"] == "/dev/mapper/dmroot"


def test_the_last_of_two_counts():
    assert cmdline.parse(b"a=1 a=2") == {"a": "2"}


def test_a_value_may_contain_an_equals_sign():
    assert cmdline.parse(b" a=b=c ") == {"a": "b=c"}


def test_nothing_at_all():
    assert cmdline.parse(b"") == cmdline.parse(b" \t\r\n") == {}


@given(st.binary())
def test_any_octets(line):
    for name, value in cmdline.parse(line).items():
        assert (name + value).isascii() and (name + value).isprintable()


@given(st.binary(min_size=1).filter(lambda b: b.strip() == b and len(b.split()) == 1 and not b.isascii()))
def test_a_strange_word_harms_only_itself(word):
    assert cmdline.parse(b"a=1 " + word + b" b=2") == {"a": "1", "b": "2"}
