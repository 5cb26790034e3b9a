"""QubesDB's messages: any split of the stream, and one test for each lie."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.qubes import messages as qdb_messages
from peererror import PeerError

PATH = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.:@-"
paths = st.text(PATH, min_size=1, max_size=63)
values = st.binary(max_size=3071)
messages = st.one_of(
    st.tuples(st.sampled_from([qdb_messages.WRITE, qdb_messages.CONTENT]), paths, values),
    st.tuples(st.sampled_from([qdb_messages.RM, qdb_messages.OK, qdb_messages.NOENT, qdb_messages.ERROR]), paths, st.just(b"")),
)


def packed(kind, path, value=b"", length=None, junk=b"\0"):
    """As the daemon packs it: what follows the path's NUL may be left from another message."""
    field = (path.encode() + b"\0" + junk * 64)[:64]
    return struct.pack("<B64s3sI", kind, field, (junk * 3)[:3], len(value) if length is None else length) + value


def read(*pieces):
    inbox = qdb_messages.Inbox()
    found = []
    for piece in pieces:
        inbox.feed(piece)
        while True:
            message = inbox.message()
            if message is None:
                break
            found.append(message)
    return found


@given(st.lists(messages, max_size=8), st.lists(st.integers(0, 3000), max_size=12), st.sampled_from([b"\0", b"\xff", b"a"]))
def test_any_split_of_the_stream_gives_the_same_messages(sent, cuts, junk):
    stream = b"".join(packed(kind, path, value, junk=junk) for kind, path, value in sent)
    at = sorted({0, len(stream)} | {cut for cut in cuts if cut < len(stream)})
    pieces = [stream[a:b] for a, b in zip(at, at[1:])]
    assert read(*pieces) == sent


def test_octet_by_octet():
    stream = packed(1, "/a", b"x" * 100) + packed(4, "/b/")
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == [(1, "/a", b"x" * 100), (4, "/b/", b"")]


@given(st.binary(max_size=400))
def test_noise_is_a_message_or_a_lie(noise):
    try:
        for kind, path, value in read(noise):
            assert kind in (1, 4, 7, 8, 9, 11) and len(path) <= 63 and len(value) <= 3071
    except PeerError:
        pass


def kind_that_never_crosses():
    return packed(10, "/a")


def kind_255():
    return packed(255, "/a")


def value_of_3072():
    return packed(1, "/a", length=3072)


def value_of_4_gib():
    return packed(11, "/a", length=0xFFFFFFFF)


def removal_with_a_value():
    return packed(4, "/a", length=1)


def ok_with_a_value():
    return packed(7, "/a", length=1)


def path_without_an_end():
    return struct.pack("<B64s3sI", 1, b"/" * 64, b"", 0)


def path_with_a_blank():
    return packed(1, "/a b")


def path_with_an_escape():
    return packed(1, "/\x1b")


def write_without_a_path():
    return packed(1, "")


def end_mark_with_a_value():
    return packed(11, "", length=5)


LIES = [kind_that_never_crosses, kind_255, value_of_3072, value_of_4_gib, removal_with_a_value, ok_with_a_value,
        path_without_an_end, path_with_a_blank, path_with_an_escape, write_without_a_path, end_mark_with_a_value]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_seen_by_its_header_alone(lie):
    assert read(packed(1, "/before", b"1")) == [(1, "/before", b"1")]
    with pytest.raises(PeerError):
        read(packed(1, "/before", b"1") + lie()[:72])


def test_the_longest_of_everything_is_no_lie():
    path = "/" + "x" * 62
    assert read(packed(1, path, b"v" * 3071)) == [(1, path, b"v" * 3071)]


def test_what_we_send_has_the_layout_of_the_document():
    assert qdb_messages.pack(qdb_messages.WRITE, "/a/b", b"12") == packed(1, "/a/b", b"12")
    assert qdb_messages.pack(qdb_messages.MULTIREAD, "") == packed(2, "")


@pytest.mark.parametrize("kind, path, value", [
    (qdb_messages.RM, "/a", b""),  # of a key dom0 has not, it would end the channel: never sent
    (qdb_messages.NOENT, "/a", b""), (5, "/", b""),
    (qdb_messages.WRITE, "a", b""), (qdb_messages.WRITE, "/a/", b""), (qdb_messages.WRITE, "", b""),
    (qdb_messages.WRITE, "/" + "x" * 63, b""), (qdb_messages.WRITE, "/a", b"v" * 3072), (qdb_messages.WRITE, "/a", b"\0"),
    (qdb_messages.WRITE, "/ä", b""), (qdb_messages.OK, "/a", b"x"),
])
def test_what_would_end_the_channel_is_not_sent(kind, path, value):
    with pytest.raises(ValueError):
        qdb_messages.pack(kind, path, value)
