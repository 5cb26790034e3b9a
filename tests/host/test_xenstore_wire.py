"""xenstore's messages: sizes enforced on our side, and what a reply may be made of."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenbus import wire

u32 = st.integers(0, 0xFFFFFFFF)
word = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@given(u32, u32, u32, st.binary(max_size=4096))
def test_a_message_there_and_back(kind, req_id, tx_id, payload):
    message = wire.pack(kind, req_id, tx_id, payload)
    assert wire.unpack_header(message) == (kind, req_id, tx_id, len(payload))
    assert message[wire.HEADER :] == payload


@given(st.binary(min_size=16, max_size=16))
def test_a_header_is_judged_by_its_length(header):
    octets = int.from_bytes(header[12:], "little")
    if octets > 4096:
        with pytest.raises(wire.ProtocolError):
            wire.unpack_header(header)
    else:
        assert wire.unpack_header(header)[3] == octets


@given(st.lists(word, min_size=1))
def test_strings_there_and_back(parts):
    assert wire.texts(wire.strings(*parts)) == parts


def test_no_string_ends_early():
    with pytest.raises(wire.StoreError) as raised:
        wire.strings("device/vif", "a\0b")
    assert raised.value.name == "EINVAL"


LONGEST = "/" + "a" * 3071


@pytest.mark.parametrize("path, fits", [(LONGEST, True), (LONGEST + "a", False), ("a" * 2048, True), ("a" * 2049, False)])
def test_paths_have_a_longest(path, fits):
    if fits:
        assert wire.path_ok(path) == path
    else:
        with pytest.raises(wire.StoreError):
            wire.path_ok(path)


@pytest.mark.parametrize("path", ["/local/domain/", "/", "device/vif/", "a//", "/" * 4000])
def test_a_path_that_ends_in_a_slash_is_refused(path):
    """At the place where it is made, not by the daemon: some die of it (XSA-481)."""
    with pytest.raises(wire.StoreError) as raised:
        wire.path_ok(path)
    assert raised.value.name == "EINVAL" and "slash" in str(raised.value)


def test_payloads_have_a_longest():
    assert len(wire.checked(bytes(4096))) == 4096
    with pytest.raises(wire.StoreError) as raised:
        wire.checked(bytes(4097))
    assert raised.value.name == "E2BIG"


@pytest.mark.parametrize(
    "name, kind",
    [
        ("ENOENT", wire.Missing),
        ("EACCES", wire.Denied),
        ("ENOSPC", wire.QuotaError),
        ("EQUOTA", wire.QuotaError),
        ("EAGAIN", wire.Again),
        ("EINVAL", wire.StoreError),
        ("E2BIG", wire.QuotaError),
    ],
)
def test_errors_keep_the_daemons_name(name, kind):
    refusal = wire.error(name.encode() + b"\0", "request 2 domid")
    assert type(refusal) is kind and refusal.name == name
    assert str(refusal) == name + ": request 2 domid"


@given(st.binary(max_size=60))
def test_any_error_is_one(payload):
    refusal = wire.error(payload, "")
    assert isinstance(refusal, wire.StoreError)
    assert refusal.name.isascii() and refusal.name.isprintable()


@given(st.binary(max_size=200))
def test_any_reply_is_understood_or_refused(payload):
    for judge in (wire.texts, wire.expect_ok, wire.number):
        try:
            judge(payload)
        except wire.StoreError as refusal:
            assert refusal.name == "EPROTO"
    named = wire.event(payload)
    assert named is None or (len(named) == 2 and all(isinstance(part, str) for part in named))


def test_an_event_names_path_and_token():
    assert wire.event(b"device/vif\x0017\0") == ("device/vif", "17")
    assert wire.event(b"device/vif\x0017\0more\0") == ("device/vif", "17")
    for nonsense in (b"", b"\0", b"path\0", b"path\0token", b"pa\xffth\0token\0"):
        assert wire.event(nonsense) is None


@pytest.mark.parametrize("reply, value", [(b"1\0", 1), (b"4294967295\0", 4294967295), (b"7", 7)])
def test_numbers(reply, value):
    assert wire.number(reply) == value


@pytest.mark.parametrize("reply", [b"", b"\0", b"0\0", b"-1\0", b"4294967296\0", b"1 \0", b"0x1\0", b"9" * 5000])
def test_no_numbers(reply):
    with pytest.raises(wire.StoreError):
        wire.number(reply)
