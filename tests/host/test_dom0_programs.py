"""qubes-firewall-explain, qubes-firewall-notify, the collector and its picture; with programs that stand in for
dom0's."""

import io
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree

import pytest

from tests.dom0 import hour, scene, screens
from qubesfirewall import calls, collector, explain, notify, picture, streams  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
REFUSED = scene.refusal(scene.CHAT, "tcp", "140.82.121.4", 22, "github.com", 3, "denied by the rules", 1, 2, 1)


@pytest.fixture
def folder(tmp_path):
    scene.write(str(tmp_path / "scene"))
    return str(tmp_path / "scene")


# ---- explain


def test_explain_says_the_sentence(folder, capsys):
    out = io.StringIO()
    assert explain.main(["--stream", folder, "chat", "tcp", "140.82.121.4", "22"], out) == 1
    assert out.getvalue() == "chat to tcp 140.82.121.4 22: dropped by rule 2: action=drop\n"


def test_explain_asks_what_the_firewall_understands(folder):
    asked = []

    class Source(calls.Recorded):
        def call(self, qube, service, said=b""):
            asked.append((qube, service, said))
            return calls.Recorded.call(self, qube, service, said)

    explain.ask(Source(folder), "sys-pyfw", "10.137.0.22 tcp 140.82.121.4 22\n")
    assert asked == [("sys-pyfw", "firewall.Explain+json", b"10.137.0.22 tcp 140.82.121.4 22\n")]


@pytest.mark.parametrize(
    "words, says",
    [
        (["chat", "tcp", "github.com", "22"], "a name has many"),
        (["chat", "tcp", "192.0.2.1"], "needs one"),
        (["chat", "tcp", "192.0.2.1", "65536"], "a number to 65535"),
        (["chat", "tcp", "192.0.2.1", "٣"], "a number to 65535"),
        (["chat", "icmp", "192.0.2.1", "256"], "a number to 255"),
        (["chat", "300", "192.0.2.1"], "a number to 255"),
        (["chat", "47", "192.0.2.1", "3"], "has none"),
        (["chat", "sctp", "192.0.2.1"], "expected tcp"),
        (["nobody", "icmp", "192.0.2.1"], "there is no qube nobody"),
        (["vault", "icmp", "192.0.2.1"], "has no network"),
        (["sys-pyfw", "icmp", "192.0.2.1"], "is no firewall of this kind"),
        (["personal", "icmp", "192.0.2.1"], "was not recorded"),
    ],
)
def test_explain_says_what_is_wrong(folder, capsys, words, says):
    assert explain.main(["--stream", folder] + words) == 2
    said = capsys.readouterr().err
    assert says in said and said.isascii()


@pytest.mark.parametrize(
    "answer", [b"", b"\x1b[2J\n", b'{"format": "firewall.explain", "version": 1}\n{"error": "line 1: \\u001b[2J"}\n']
)
def test_explain_of_a_hostile_firewall(folder, capsys, answer):
    with open(os.path.join(folder, "sys-pyfw", "firewall.Explain+json"), "wb") as file:
        file.write(answer)
    assert explain.main(["--stream", folder, "chat", "tcp", "192.0.2.1", "22"]) == 2
    assert "\x1b" not in capsys.readouterr().err


# ---- which refusals become notifications


def test_the_first_refusal_is_told_at_once_and_others_a_minute_later():
    told = notify.Notifier(lambda qube: True)
    note = told.heard("chat", REFUSED, 1000)
    assert note.text() == "chat: tcp 140.82.121.4:22 (github.com) refused by rule 3"
    for second in range(1, 60):
        assert told.heard("chat", dict(REFUSED, to="192.0.2.%d" % second), 1000 + second) is None
        assert told.notes(1000 + second) == []
    (note,) = told.notes(1060)
    assert note.text() == "chat: tcp 192.0.2.59:22 (github.com) refused by rule 3, and 58 more"
    assert told.notes(1061) == [] and told.notes(1120) == [] and told.held == {}
    assert told.heard("chat", REFUSED, 1121) is not None


def test_a_minute_is_each_qubes_own():
    told = notify.Notifier(lambda qube: True)
    assert told.heard("chat", REFUSED, 0) and told.heard("work", REFUSED, 1) and not told.heard("chat", REFUSED, 2)


def test_nothing_is_told_of_qubes_that_have_it_off_nor_of_strangers():
    told = notify.Notifier(lambda qube: qube == "chat")
    assert told.heard("work", REFUSED, 0) is None and told.heard("", REFUSED, 0) is None
    assert told.heard("--help", REFUSED, 0) is None and told.held == {}


def test_a_flood_of_qubes_is_bounded():
    told = notify.Notifier(lambda qube: True)
    for i in range(10000):
        told.heard("q%d" % i, REFUSED, 0)
    assert len(told.held) == notify.QUBES


def test_the_command_allows_what_was_refused_and_no_more():
    assert notify.allow("chat", REFUSED) == [
        "qvm-firewall", "chat", "add", "--before", "0", "action=accept", "dsthost=140.82.121.4/32", "proto=tcp",
        "dstports=22-22", "expire=+3600",
    ]  # fmt: skip
    ping = scene.refusal(scene.CHAT, "icmp", "192.0.2.1", 0, "", -1, "denied by the rules", 1, 2, 1, 8)
    assert notify.allow("chat", ping)[6:] == ["dsthost=192.0.2.1/32", "proto=icmp", "icmptype=8", "expire=+3600"]


@pytest.mark.parametrize(
    "qube, keys",
    [
        ("chat", {"proto": "47"}),
        ("chat", {"why": "from client to client"}),
        ("chat", {"to": "1.2.3"}),
        ("chat", {"to": "1:2:3"}),
        ("chat;x", {}),
        ("-x", {}),
        ("chat", {"proto": "icmp", "type": -1}),
    ],
)
def test_what_no_rule_can_allow_has_no_button(qube, keys):
    assert notify.allow(qube, dict(REFUSED, **keys)) is None


# ---- the whole of notify, with programs in place of dom0's

PROGRAM = """#!%s
import json, os, sys
name = os.path.basename(sys.argv[0])
with open(%r, "a") as log:
    log.write(json.dumps([name] + sys.argv[1:]) + "\\n")
answers = json.load(open(%r))
code, said = answers.get(name, [0, ""])
print(said)
sys.exit(code)
"""


@pytest.fixture
def dom0(tmp_path, folder, monkeypatch):
    """Run qubes-firewall-notify on a stream with these refusals after now; what was started."""
    bin, log, answers = tmp_path / "bin", tmp_path / "log", tmp_path / "answers"
    bin.mkdir()
    for name in ("notify-send", "zenity", "qvm-firewall", "qvm-features", "systemctl", "xterm"):
        (bin / name).write_text(PROGRAM % (sys.executable, str(log), str(answers)))
        (bin / name).chmod(0o755)

    def run(rows, words=(), **said):
        answers.write_text(json.dumps(dict({"qvm-features": [0, "1"], "zenity": [1, ""]}, **said)))
        log.write_text("")
        with open(os.path.join(folder, "sys-pyfw", "firewall.Refused+json"), "w") as file:
            file.write(
                scene.text_of("firewall.Refused", [dict(REFUSED, to="192.0.2.200"), {"now": True}] + rows, False)
            )
        program = os.path.join(screens.HERE, "..", "..", "images", "dom0", "qubes-firewall-notify")
        words = [sys.executable, program] + list(words or ["--stream", folder])
        done = subprocess.run(
            words, env={"PATH": str(bin)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        return [json.loads(line) for line in log.read_text().splitlines()], done.stdout

    return run


def test_a_refusal_becomes_a_notification(dom0):
    started, said = dom0([REFUSED])
    (note,) = [words for words in started if words[0] == "notify-send"]
    assert note[-1] == "chat: tcp 140.82.121.4:22 (github.com) refused by rule 3"
    assert [word for word in note if word.startswith("--action")] == [
        "--action=allow=Allow for an hour",
        "--action=show=Show",
    ]
    assert "192.0.2.200" not in said and not [words for words in started if words[0] == "qvm-firewall"]


def test_a_hundred_refusals_become_one(dom0):
    started, _ = dom0([dict(REFUSED, to_port=port) for port in range(100)])
    assert len([words for words in started if words[0] == "notify-send"]) == 1


def test_a_qube_without_the_feature_is_not_told_of(dom0):
    started, _ = dom0([REFUSED], **{"qvm-features": [1, ""]})
    assert started == [["qvm-features", "chat", "firewall-notify"]]


def test_the_button_asks_before_it_runs(dom0):
    started, _ = dom0([REFUSED], **{"notify-send": [0, "allow"], "zenity": [1, ""]})
    (question,) = [words for words in started if words[0] == "zenity"]
    assert "qvm-firewall chat add --before 0 action=accept dsthost=140.82.121.4/32 proto=tcp" in question[-1]
    assert not [words for words in started if words[0] == "qvm-firewall"]


def test_a_yes_runs_the_command_that_was_shown(dom0):
    started, _ = dom0([REFUSED], **{"notify-send": [0, "allow"], "zenity": [0, ""]})
    assert started[-1] == notify.allow("chat", REFUSED)


def test_what_a_notification_says_is_no_command(dom0):
    started, _ = dom0([REFUSED], **{"notify-send": [0, "allow; rm -rf /"]})
    assert {words[0] for words in started} == {"qvm-features", "notify-send"}


def test_show_opens_top_at_its_refusals(dom0):
    started, _ = dom0([REFUSED], **{"notify-send": [0, "show"]})
    assert started[-1][0] == "xterm" and started[-1][-2:] == ["--refused", "chat"]


def test_a_desktop_without_buttons_gets_the_command_in_words(dom0):
    started, _ = dom0([REFUSED], **{"notify-send": [1, ""]})
    first, second = [words for words in started if words[0] == "notify-send"]
    assert "--action=show=Show" in first and not any("--action" in word for word in second)
    assert "qvm-firewall chat add" in second[-1]


def test_one_command_turns_it_on(dom0):
    started, _ = dom0([], ["on", "chat"])
    assert started == [
        ["qvm-features", "chat", "firewall-notify", "1"],
        ["systemctl", "--user", "enable", "--now", notify.UNIT],
    ]
    started, _ = dom0([], ["off", "chat"])
    assert started == [["qvm-features", "--unset", "chat", "firewall-notify"]]
    assert os.path.exists(os.path.join(screens.HERE, "..", "..", "images", "dom0", notify.UNIT))


def test_markup_in_a_notification_is_text():
    row = dict(REFUSED, why="<b>&", rule=-1)
    shown = []
    desktop = notify.Desktop(lambda text: None)
    desktop._start = lambda words, then: shown.append(words)
    desktop.show(notify.Note("chat", row, 0))
    assert "&lt;b&gt;&amp;" in shown[0][-1] and "<b>" not in shown[0][-1]


# ---- minutes and their picture


def flow(to, into, out, port=1, name=""):
    return scene.flow("10.0.0.1", "tcp", port, to, 443, name, 0, "open", out, into, 1, 1)


def counters(down, up):
    return [scene.counted("uplink", "uplink", 1, 1), scene.counted("10.0.0.1", "5.0", up, down)]


def test_minutes_add_up_to_the_counters():
    sums = collector.Sums()
    name = {"10.0.0.1": "work"}.get
    sums.take(5, "fw", [flow("192.0.2.1", 1000, 100)], counters(5000, 500), name)
    assert sums.minutes == {}  # what was before is not this minute's
    sums.take(
        5, "fw", [flow("192.0.2.1", 3000, 150), flow("192.0.2.2", 700, 70, 2, "b.example")], counters(8700, 720), name
    )
    assert sums.minutes[5]["fw", "work"] == {"192.0.2.1": [2000, 50], "b.example": [700, 70], "": [1000, 100]}
    assert [sum(each) for each in zip(*sums.minutes[5]["fw", "work"].values())] == [3700, 220]


def test_a_flows_octets_may_wrap_and_its_ends_may_come_again():
    sums = collector.Sums()
    for octets in (collector.WRAP - 100, 300, 40):  # the last one: a flow with the same ends
        sums.take(5, "fw", [flow("192.0.2.1", octets, 0)], [], str)
    assert sums.minutes[5]["fw", "10.0.0.1"]["192.0.2.1"] == [440, 0]


def test_a_firewall_that_started_anew_is_counted_from_nothing():
    sums = collector.Sums()
    for down in (1000, 200, 300):
        sums.take(5, "fw", [], counters(down, 0), str)
    assert sums.minutes[5]["fw", "10.0.0.1"][""] == [100, 0]


def test_an_hour_and_a_bounded_number_of_ends_are_kept():
    sums = collector.Sums()
    for minute in range(100):
        for end in range(100):
            sums.add(minute, "fw", "work", "192.0.2.%d" % end, end, 1)
    assert sorted(sums.minutes) == list(range(40, 100))
    ends = sums.minutes[99]["fw", "work"]
    assert (
        len(ends) <= collector.ENDS + 1
        and sum(map(sum, ends.values())) == sum(range(100)) + 100
        and "192.0.2.99" in ends
    )
    sums.add(3, "fw", "work", "x", 1, 1)
    assert 3 not in sums.minutes


def test_the_file_is_read_as_it_was_written(tmp_path):
    path = str(tmp_path / "a" / "minutes.json")
    collector.save(path, hour.sums())
    assert collector.load(path).minutes == hour.sums().minutes
    assert os.stat(path).st_mode & 0o077 == 0 and os.listdir(os.path.dirname(path)) == ["minutes.json"]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 10000,
        json.dumps(collector.FORMAT).encode() + b'\n{"minute": -1, "rows": [["", "", "", 1, 1]]}',
        json.dumps(collector.FORMAT).encode() + b'\n{"minute": 1, "rows": [1]}',
        json.dumps(collector.FORMAT).encode() + b"\n[]",
    ],
)
def test_a_file_that_is_none(tmp_path, capsys, octets):
    (tmp_path / "m").write_bytes(octets)
    assert screens.top.main(["--svg", str(tmp_path / "x.svg"), "--minutes", str(tmp_path / "m")]) == 2
    assert "--collect" in capsys.readouterr().err and not os.path.exists(str(tmp_path / "x.svg"))


def test_the_collector_asks_and_keeps(folder, tmp_path):
    words = ["--collect", "--stream", folder, "--minutes", str(tmp_path / "m")]
    assert screens.top.main(words) == 0
    sums = collector.Sums()
    kept = collector.Collector(calls.Recorded(folder), (), sums)
    assert kept.round(7) == 2
    assert kept.round(7) == 2 and sums.minutes == {}  # nothing has moved
    path = os.path.join(folder, "sys-pyfw", "firewall.Flows+json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("2412345678", "2412346678"))
    assert kept.round(8) == 2
    assert sums.minutes == {8: {("sys-pyfw", "work"): {"deb.mirror.example": [1000, 0]}}}


def texts(svg):
    return ["".join(each.itertext()) for each in xml.etree.ElementTree.fromstring(svg).iter(SVG + "text")]


def test_the_picture_of_an_hour():
    found = texts(hour.drawn())
    assert (
        "work1.4 GB" in found and "deb.mirror.example1.1 GB" in found and "Who talked to whom, 20:21 to 21:21" in found
    )
    assert not any("sys-vpn" in each for each in found), "what it carries is told as personal's"


def test_the_picture_adds_up():
    root = xml.etree.ElementTree.fromstring(hour.drawn())
    bands = [each.find(SVG + "title").text for each in root.iter(SVG + "path")]
    assert len(bands) == len(set(bands)) and "chat and voice.chat.example: 102 MB" in bands


def test_a_picture_of_nothing_and_of_strangers():
    assert "Nothing was carried" in "".join(texts(picture.draw({}, time.gmtime)))
    bad = "<script>&\"'\x1b\x00é"
    svg = picture.draw({7: {("fw", bad): {bad: [1, 0], "x" * 500: [1 << 62, 1]}}}, time.gmtime)
    assert "script" in "".join(texts(svg)) and "<script" not in svg and "\x1b" not in svg and len(svg) < 20000


def test_a_picture_of_many_is_bounded():
    minutes = {
        minute: {("fw", "q%d" % qube): {"e%d" % end: [end + 1, 0] for end in range(24)} for qube in range(60)}
        for minute in range(60)
    }
    svg = picture.draw(minutes, time.gmtime)
    assert len(texts(svg)) < 50 and len(svg) < 300000
    assert any(each.startswith(picture.OTHERS) for each in texts(svg))


def test_streams_numbers_are_the_files():
    with pytest.raises(streams.Refuse):
        streams.number(-1)
