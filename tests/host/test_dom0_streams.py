"""What a firewall qube says may be anything: nothing of it reaches a terminal raw, and it fills no memory."""

import json
import os
import random
import time
import tracemalloc

import pytest

from tests.dom0 import scene, screens
from qubesfirewall import calls, session as sessions, streams, texts, top

SERVICES = sorted(streams.TABLES)
FIRST = {service: (json.dumps({"format": service, "version": 1}) + "\n").encode() for service in SERVICES}
HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\r\n\x00‮\ud800é"


def read(service, octets):
    reader = streams.Reader(service)
    return reader, reader.feed(octets)


def plain(value):
    """Every text within a row is printable ASCII."""
    if isinstance(value, dict):
        return all(plain(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return all(map(plain, value))
    return not isinstance(value, str) or all(" " <= each <= "~" for each in value) and len(value) <= streams.WIDE


def test_a_right_answer_in_pieces_of_any_size():
    rows, ends = scene.answers()["sys-pyfw"]["firewall.Refused+json"]
    octets = scene.text_of("firewall.Refused", rows, ends).encode()
    for size in list(range(1, 40)) + [4096]:
        reader, found = streams.Reader("firewall.Refused"), []
        for start in range(0, len(octets), size):
            found += reader.feed(octets[start : start + size])
        assert found == rows and not reader.strange and not reader.fault


@pytest.mark.parametrize(
    "first, says",
    [
        (b'{"format": "firewall.flows", "version": 2}\n', "speaks version 2"),
        (b'{"format": "firewall.flows", "version": "\\u001b[2J"}\n', "speaks version ?[2J"),
        (b'{"format": "firewall.flows"}\n', "speaks version None"),
        (b'{"format": "firewall.watch", "version": 1}\n', "does not answer as a firewall"),
        (b"login: \x1b[5i\n", "does not answer as a firewall"),
        (b"[" * 4000 + b"\n", "does not answer as a firewall"),
        (b"x" * 100000 + b"\n" + b"{}\n", "does not answer as a firewall"),
    ],
)
def test_what_is_no_answer_says_why_and_gives_no_row(first, says):
    reader, rows = read(
        "firewall.Flows",
        first
        + FIRST["firewall.flows"]
        + json.dumps(scene.flow("10.0.0.1", "tcp", 1, "10.0.0.2", 2, "", 0, "", 1, 1, 1, 1)).encode()
        + b"\n",
    )
    assert says in reader.fault and rows == [] and plain(reader.fault)


FLOW = scene.flow("10.0.0.1", "tcp", 1, "10.0.0.2", 2, "www.example.org", 0, "open", 1, 1, 1, 1)


@pytest.mark.parametrize(
    "key, value",
    [
        ("client", HOSTILE),
        ("client", ""),
        ("client", "10.0.0.1; rm -rf"),
        ("client", 7),
        ("client", None),
        ("client", "1" * 100),
        ("to", "../../etc"),
        ("to_port", -1),
        ("to_port", 65536),
        ("to_port", "80"),
        ("to_port", 1.5),
        ("to_port", True),
        ("to_port", [80]),
        ("rule", -2),
        ("rule", 1 << 40),
        ("in_octets", -1),
        ("in_octets", 1 << 63),
        ("in_octets", {}),
        ("in_octets", 1e300),
        ("name", "a" * 256),
        ("name", 1),
        ("state", []),
        ("proto", {}),
    ],
)
def test_a_row_with_a_wrong_value_is_left_out_and_counted(key, value):
    reader, rows = read(
        "firewall.flows",
        FIRST["firewall.flows"]
        + json.dumps(dict(FLOW, **{key: value})).encode()
        + b"\n"
        + json.dumps(FLOW).encode()
        + b"\n",
    )
    assert reader.strange == 1 and len(rows) == 1 and rows[0]["name"] == "www.example.org"


@pytest.mark.parametrize(
    "line",
    [
        b'{"client": NaN}',
        b'{"client": 1',
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 700 + b"1" + b"}" * 700,
        b'{"x": ' + b"9" * 4000 + b"}",
        b"{}",
        b'{"end": 1}',
        b'{"end": "true"}',
    ],
)
def test_a_line_that_is_none(line):
    reader, rows = read("firewall.flows", FIRST["firewall.flows"] + line + b"\n" + json.dumps(FLOW).encode() + b"\n")
    assert reader.strange == 1 and len(rows) == 1 and not reader.ended and not reader.fault


def test_texts_lose_what_a_terminal_might_obey():
    reader, rows = read(
        "firewall.flows",
        FIRST["firewall.flows"]
        + json.dumps(dict(FLOW, state=HOSTILE, proto="\x1b" * 500, name=HOSTILE)).encode()
        + b"\n",
    )
    (row,) = rows
    assert (
        plain(row) and row["name"] == "" and len(row["proto"]) <= streams.TEXT and "?]0;owned??[31m?2J" in row["state"]
    )


def test_names_have_nothing_but_letters_digits_and_three_signs():
    for bad in ("a b", "a/b", "ä.example", "<b>", "a\n", "$(x)", "a;b", "'", "٣.example", "a‮b"):
        assert streams.name(bad) == ""
    assert streams.name("_dmarc.Example-1.org") == "_dmarc.Example-1.org"


def test_keys_that_are_not_known_are_left_out():
    _, rows = read(
        "firewall.flows", FIRST["firewall.flows"] + json.dumps(dict(FLOW, later={"x": "\x1b"})).encode() + b"\n"
    )
    assert "later" not in rows[0]


def test_an_answer_has_ended_where_it_says_so():
    reader, rows = read(
        "firewall.flows", FIRST["firewall.flows"] + b'{"end": true}\n' + json.dumps(FLOW).encode() + b"\n"
    )
    assert reader.ended and rows == []


@pytest.mark.parametrize("seed", range(40))
def test_mutated_answers(seed):
    """Octets changed, lost, doubled: rows are of their form, whatever comes."""
    chance = random.Random(seed)
    for service, (rows, ends) in scene.answers()["sys-pyfw"].items():
        octets = bytearray(scene.text_of(service, rows, ends).encode())
        for _ in range(chance.randrange(1, 30)):
            at = chance.randrange(len(octets))
            what = chance.randrange(3)
            if what == 0:
                octets[at] = (
                    chance.choice(b'\x00\x1b\x9b\xff{}[]",:0-9eE\n') if chance.random() < 0.7 else chance.randrange(256)
                )
            elif what == 1:
                del octets[at : at + chance.randrange(1, 20)]
            else:
                octets[at:at] = octets[at : at + chance.randrange(1, 200)]
        name = service.split("+")[0]
        reader, found = streams.Reader(name), []
        for start in range(0, len(octets), 501):
            found += reader.feed(bytes(octets[start : start + 501]))
        assert plain(found) and plain(reader.fault)


def test_megabytes_without_a_newline_fill_no_memory():
    reader = streams.Reader("firewall.watch")
    tracemalloc.start()
    for _ in range(400):
        assert reader.feed(b"\x1b" * 65536) == []
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20 and reader.strange == 1
    reader.feed(b"\n" + FIRST["firewall.watch"])
    assert reader.begun


# ---- through the whole program


def hostile(folder, octets):
    """The scene, with sys-pyfw saying these octets to every call."""
    scene.write(folder)
    for name in os.listdir(os.path.join(folder, "sys-pyfw")):
        with open(os.path.join(folder, "sys-pyfw", name), "wb") as file:
            file.write(octets(name) if callable(octets) else octets)


def everything(folder):
    """All screens and both outputs of --once."""
    session = screens.session_of(folder)
    made = [screens.typed(session, words) for words in ("", "down enter", "down r", "r", "enter")]
    return "".join(made) + screens.once(folder, "--width", "80") + screens.once(folder, "--json", "--flows")


def safe(text):
    allowed = set(texts.BLOCKS + texts.PARTS + "…“”▏↑↓▲▼\n")
    return all(" " <= each <= "~" or each in allowed for each in text)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\n" * 5000,
        b"\x1b]0;owned\x07" * 2000,
        bytes(random.Random(1).randrange(256) for _ in range(1 << 16)),
        b"A" * (1 << 20),
        b'{"format": "firewall.watch", "version": 9}\n',
        b"\x00" * 100000 + b"\n",
    ],
)
def test_a_hostile_firewall_costs_its_own_lines_alone(tmp_path, octets):
    hostile(str(tmp_path), octets)
    said = everything(str(tmp_path))
    assert safe(said) and "personal" in said  # the other firewall is there


def test_a_flood_of_rows_is_bounded(tmp_path):
    """Clients, flows and refusals without end: what is kept has a limit."""

    def octets(name):
        service = name.split("+")[0].lower()
        lines = [FIRST[service]]
        for i in range(20000):
            address = "10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255)
            row = {
                "firewall.status": scene.status(address, "5.0", 1, 1),
                "firewall.flows": dict(FLOW, client=address if i % 2 else "10.0.0.1"),
                "firewall.counters": scene.counted(address, "5.0", 1, 1, drops={"\x1b" * 60: 1}),
                "firewall.watch": {"at": 1000 * i, "clients": [dict(client=address, from_octets=1)]},
                "firewall.refused": scene.refusal(address, "tcp", "1.2.3.4", i & 65535, "", 1, HOSTILE, 1, 1, 1),
                "firewall.explain": {"error": HOSTILE},
            }[service]
            lines.append((json.dumps(row) + "\n").encode())
        return b"".join(lines)

    hostile(str(tmp_path), octets)
    session = screens.session_of(str(tmp_path))
    firewall = session.world.firewalls["sys-pyfw"]
    assert len(firewall.clients) == 256 and len(firewall.refusals) == 512 and len(firewall.seconds) <= 60
    assert safe(screens.typed(session, "enter")) and sum(map(len, firewall.flows.values())) <= 256 * 4096
    for client in firewall.clients.values():
        assert len(client.down) <= 60


def test_stderr_of_a_call_is_cleaned_and_bounded(tmp_path):
    scene.write(str(tmp_path))
    for name in os.listdir(str(tmp_path / "sys-pyfw")):
        (tmp_path / "sys-pyfw" / name).unlink()
        (tmp_path / "sys-pyfw" / (name + ".err")).write_text("\x1b[2Jrefused" * 1000)
    said = everything(str(tmp_path))
    assert safe(said) and "sys-pyfw: no answer: ?[2Jrefused" in said


def test_qvm_ls_is_not_believed_either(tmp_path):
    scene.write(str(tmp_path))
    with open(str(tmp_path / "qvm-ls"), "ab") as file:
        file.write(b"\x1b[31mx|Running|A|10.1.1.1|sys-pyfw|k\n" + b"|" * 100000 + b"\n" + b"a|b\n" * 100000)
    session = screens.session_of(str(tmp_path))
    assert len(session.world.names.qubes) <= 1024 and all(plain(list(qube)) for qube in session.world.names.qubes)


def runs(pid):
    """A process is there, and no zombie."""
    try:
        with open("/proc/%s/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_real_program_that_hangs_and_floods_is_ended(tmp_path):
    """Started as qvm-run would be: its output is taken in pieces, and with it ends what it has started."""
    program = tmp_path / "caller"
    program.write_text(
        "#!/bin/sh\necho $$ > %s/pid\nsleep 1000 &\necho $! >> %s/pid\nyes x | head -c 300000\nwait\n"
        % (tmp_path, tmp_path)
    )
    program.chmod(0o755)
    call = calls.Qubes(str(program)).call("q", "firewall.Watch+json")
    got = 0
    while got < 300000:
        got += len(call.read())
    assert call.read() == b"" and call.code is None
    call.end()
    pids = (tmp_path / "pid").read_text().split()
    assert len(pids) == 2
    while any(map(runs, pids)):  # one that never ends is seen by whoever waits for the tests
        time.sleep(0.01)


def test_a_program_that_is_not_there_is_said_to_be_so(tmp_path):
    scene.write(str(tmp_path))
    source = calls.Recorded(str(tmp_path))
    source.call = calls.Qubes(str(tmp_path / "no-such-program")).call
    session = sessions.Session(source)
    session.step(0)
    assert "No such file" in session.world.firewalls["sys-pyfw"].fault
    assert top.told(session.world)["firewalls"][0]["fault"]


# ---- what docs/services.md says


def examples():
    """{service: octets} of the answers that are shown."""
    with open(os.path.join(screens.HERE, "..", "..", "docs", "services.md"), encoding="utf-8") as file:
        blocks = [block for block in file.read().split("```")[1::2] if block.strip().startswith('{"format"')]
    return {json.loads(block.strip().splitlines()[0])["format"]: block.strip() + "\n" for block in blocks}


@pytest.mark.parametrize("service", SERVICES)
def test_an_answer_of_the_manual_is_read_whole(service):
    shown = examples()[service].replace("…", "...")
    reader, rows = read(service, shown.encode("ascii"))
    assert len(rows) == len(shown.splitlines()) - 1 - reader.ended and not reader.strange and not reader.fault
    keys = {key for table in reader.tables for key in table}
    told = {key for row in map(json.loads, shown.splitlines()[1:]) for key in row}
    assert keys - told <= {"error"}, "all that is read is shown"


@pytest.mark.parametrize("name", ["README.md", "CAVEATS.md", "docs/services.md", "docs/install.md"])
def test_a_command_of_the_manual_is_one(name):
    """qvm-run takes what follows its first word without a dash as the command: `--service` comes before the qube."""
    with open(os.path.join(screens.HERE, "..", "..", name), encoding="utf-8") as file:
        for line in file:
            for words in line.split("qvm-run ")[1:]:
                if "--service" in words and "firewall." in words.split("|")[0]:
                    plain = [word for word in words.split() if not word.startswith("-")]
                    assert words.split()[words.split().index("--service") + 1] == plain[0], line
                    assert plain[1].startswith("firewall."), line
