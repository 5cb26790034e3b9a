"""Addresses as text, of both families: what the standard library takes, and nothing else."""
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.wire.address import first_host4, parse, parse4, parse6, text4

addresses = st.integers(0, 0xFFFFFFFF)


@given(addresses)
def test_text_and_address_are_inverse(value):
    assert text4(value) == str(ipaddress.IPv4Address(value))
    assert parse4(text4(value)) == value


@given(st.text(alphabet="0123456789.+- x٣", max_size=18) | st.text(max_size=18))
def test_address_takes_what_the_standard_library_takes(text):
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        expected = -1
    assert parse4(text) == expected


@given(st.integers(0, (1 << 128) - 1))
def test_an_ipv6_address_as_it_is_written(value):
    address = ipaddress.IPv6Address(value)
    for text in (str(address), address.exploded, address.exploded.upper()):
        assert parse(text) == parse6(text) == value


@pytest.mark.parametrize("octets, expected", [
    (b"10.137.0.21", "10.137.0.21"),
    (b"10.137.0.21 fd09:24ef:4179::a89:15", "10.137.0.21"),
    (b"fd09:24ef:4179::a89:15 10.137.0.21", "10.137.0.21"),
    (b"  10.137.0.21\t10.137.0.22\n", "10.137.0.21"),
    (b"127.0.0.1 0.1.2.3 224.0.0.1 255.255.255.255 10.0.0.1", "10.0.0.1"),
    (b"10.137.0.256 10.137.0.3", "10.137.0.3"),
    (b"10.137.0.021", None),  # 17 for those who read it as octal
    (b"\xd9\xa3.1.1.1", None), (b"10.137.0.21/32", None), (b"fd09:24ef:4179::a89:15", None), (b"", None), (b" ", None),
])  # fmt: skip
def test_the_first_address_of_a_host_in_a_list(octets, expected):
    assert first_host4(octets) == (None if expected is None else int(ipaddress.IPv4Address(expected)))
