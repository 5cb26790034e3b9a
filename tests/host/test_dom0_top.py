"""qubes-firewall-top on recorded answers: each screen as golden text, keys, what --once says."""

import json
import os
import shutil
import time
import xml.etree.ElementTree

import pytest

from tests.dom0 import hour, pictures, scene, screens
from qubesfirewall import calls, draw, keys, model, session as sessions, streams  # noqa: E402 -- screens made the way


@pytest.fixture(scope="module")
def made():
    return screens.made()


@pytest.mark.parametrize("name", sorted(screens.SCREENS))
def test_a_screen_is_as_it_was_judged(made, name):
    """After a change that is meant: python3 -m tests.dom0.screens --write, and look at the difference."""
    assert made[name] == screens.golden(name)


@pytest.mark.parametrize("name", ["qubes", "flows", "refused", "filter"])
def test_a_screen_of_80_by_24_is_filled_and_not_left(made, name):
    lines = made[name].splitlines()
    assert len(lines) == 24 and max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [1, 2, 20, 40, 79, 80, 93, 94, 133, 300])
@pytest.mark.parametrize("height", [1, 2, 3, 24, 100])
@pytest.mark.parametrize("words", ["", "down down enter", "down r", "/ x"])
def test_any_size_of_terminal(scene_session, width, height, words):
    lines = screens.typed(scene_session, words, width, height).splitlines()
    assert len(lines) == height and max(map(len, lines)) <= width


@pytest.fixture(scope="module")
def scene_session(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("scene"))
    scene.write(folder)
    return screens.session_of(folder)


def test_once_gives_a_program_what_the_counters_say(made):
    told = json.loads(made["once.json"])
    assert [firewall["name"] for firewall in told["firewalls"]] == ["sys-pyfw", "sys-vpn"]
    qubes = {qube["name"]: qube for firewall in told["firewalls"] for qube in firewall["qubes"]}
    counted = {row["client"]: row for row in scene.answers()["sys-pyfw"]["firewall.Counters+json"][0]}
    assert qubes["work"]["to_octets"] == counted[scene.WORK]["to_octets"] == 3012345678
    assert qubes["work"]["from_octets"] == counted[scene.WORK]["from_octets"]
    assert qubes["chat"]["refused"] == 87 and qubes["chat"]["drops"] == {"denied by the rules": 87}
    assert [row["to"] for row in qubes["chat"]["refusals"]][0] == "140.82.121.4"
    assert qubes["banking"]["denied"].startswith("0001: dst4")
    assert "untrusted" not in qubes and "vault" not in qubes


def test_the_counters_are_the_last_to_be_asked(tmp_path):
    """So they are exact at the end, and what moved before is not counted twice."""
    scene.write(str(tmp_path))
    asked = []

    class Source(calls.Recorded):
        def call(self, qube, service, said=b""):
            asked.append((qube, service))
            return calls.Recorded.call(self, qube, service, said)

    from qubesfirewall import top

    top.gather(Source(str(tmp_path)), [], 1).close()
    assert [service for qube, service in asked][-2:] == ["firewall.Counters+json"] * 2 and len(asked) == 8


def test_keys_walk_through_the_screens(scene_session):
    place, world = draw.Place(), scene_session.world

    def press(*words):
        return [keys.press(place, world, key) for key in words][-1]

    press(*["down"] * 50)
    assert place.row == 5
    press("enter")
    assert (place.screen, place.who) == ("flows", ("sys-vpn", scene.FILM))
    press("r")
    assert place.screen == "refused"
    press("escape")
    assert (place.screen, place.row, place.who) == ("qubes", 5, None)
    press("/", "C", "h", "q", "back", "enter")
    assert place.filter == "ch" and place.row == 0
    press("r")
    assert place.who == ("sys-pyfw", scene.CHAT) and place.filter == ""
    press("escape", "/", *"x" * 500)
    assert len(place.filter) == 30
    press("escape")
    assert place.filter == "" and press("q") is False


@pytest.mark.parametrize("words", ["down down down down enter", "down r", ""])
def test_rows_that_go_leave_no_empty_screen(scene_session, words):
    """Flows end and a filter leaves few: what was chosen is then the last one, and the rows that are there are
    shown."""
    place, world = draw.Place(), scene_session.world
    for key in words.split():
        keys.press(place, world, key)
        scene_session.look(place.who if place.screen == "flows" else None)
        for now in (5000, 5001):
            scene_session.step(now)
    place.row = 500
    for height in (4, 6, 24):
        assert len([line for line in draw.draw(world, place, 80, height) if line]) > 2
    keys.press(place, world, "up")
    assert place.row < 10
    place.filter, place.row = "1", 0
    for _ in range(100):
        keys.press(place, world, "down")
    assert 0 < place.row == len(place.listed(world)) - 1


def test_one_who_looks_at_a_qube_that_goes(scene_session):
    place = draw.Place()
    place.screen, place.who = "flows", ("sys-gone", "10.9.9.9")
    assert "QUBE" in draw.text_of(draw.draw(scene_session.world, place, 80, 24))


def test_a_firewall_that_starts_anew_counts_from_nothing():
    firewall = model.Firewall("fw")
    moved = {
        "client": "10.0.0.1",
        "from_packets": 1,
        "from_octets": 100,
        "to_packets": 1,
        "to_octets": 200,
        "flows": 1,
        "new_flows": 1,
        "refused": 1,
    }
    for second in range(100, 160):
        firewall.take("firewall.Watch", {"at": second * 1000, "clients": [moved]})
    client = firewall.clients["10.0.0.1"]
    assert client.total() == (12000, 6000) and client.refused() == 60 and client.rates(159) == (200, 100)
    firewall.take("firewall.Watch", {"at": 2000, "clients": [moved]})
    assert client.total() == (200, 100) and client.refused() == 1 and firewall.now == 2


def test_a_minute_is_what_it_was(tmp_path):
    client = model.Client("fw", "10.0.0.1")
    for second in range(1, 200):
        client.moved(second, {"to_octets": second, "from_octets": 0, "flows": 0, "refused": 0})
    assert client.minute(199, 60) == list(range(140, 200)) and len(client.down) == 60
    assert client.minute(199, 12)[0] == sum(range(140, 145)) and sum(client.minute(199, 7)) == sum(range(140, 200))


@pytest.mark.parametrize(
    "octets, text",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99949, "99.9 kB"),
        (99950, "100 kB"),
        (999499, "999 kB"),
        (999500, "1.0 MB"),
        (2**63, "9.2 EB"),
        (10**30, "much"),
    ],
)
def test_amounts(octets, text):
    assert draw.amount(octets) == text and len(text) <= 8


def test_bars_never_hide_the_least_nor_leave_their_place():
    for width in range(1, 12):
        for value in range(0, 200):
            made = draw.bar(value, 199, width)
            assert len(made) == width and (made.strip() != "") == (value > 0)
    assert draw.spark([0, 1, 500, 1000]) == " ▁▄█"


# ---- in a terminal


@pytest.fixture
def tmux():
    if not shutil.which("tmux"):
        pytest.skip("tmux is not here")


@pytest.mark.parametrize("name", sorted(pictures.KEYS))
def test_a_terminal_shows_the_golden_screen(tmux, name):
    assert "\x1b[" in pictures.driven(name)


def test_a_terminal_is_left_as_it_was_and_hears_nothing_of_a_hostile_qube(tmux, tmp_path):
    """One firewall says what a terminal obeys to; the screen goes on, keys work, and `q` gives the shell back."""
    folder = tmp_path / "scene"
    scene.write(str(folder))
    bad = b"\x1b]2;owned\x07\x1b[2J\x1bc\x1b[?1049l" * 50 + b"\n"
    for name in os.listdir(str(folder / "sys-pyfw")):
        (folder / "sys-pyfw" / name).write_bytes(bad)
    terminal = pictures.Terminal(str(folder) + "; echo left; read nothing", str(tmp_path / "tmux"))
    try:

        def until(text):
            while text not in terminal.shows():  # whoever waits for the tests sees one that never comes
                time.sleep(0.05)
            return terminal.shows()

        said = until("personal")
        assert "sys-pyfw: it does not answer as a firewall qube does" in said and "owned" not in said
        terminal.keys("/ p e r Enter")
        until("only “per”")
        terminal.keys("q")
        assert "QUBE" not in until("left")
    finally:
        terminal.close()


def rows_of(svg):
    """Lines of text of a picture that rich made."""
    rows = {}
    for each in xml.etree.ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if each.get("clip-path"):
            rows.setdefault(float(each.get("y")), []).append((float(each.get("x")), each.text))
    return ["".join(text for _, text in sorted(row)).replace("\xa0", " ") for _, row in sorted(rows.items())]


@pytest.mark.parametrize("name", sorted(pictures.KEYS))
def test_the_readmes_picture_is_of_that_screen(name):
    """After a change that is meant: ./build.py screens, and look at the pictures."""
    with open(os.path.join(pictures.FOLDER, name + ".svg"), encoding="utf-8") as file:
        svg = file.read()
    assert "http" not in svg.replace("http://www.w3.org/", "").replace("https://www.textualize.io", ""), (
        "nothing is fetched"
    )
    found = [row.replace(" ", "").strip() for row in rows_of(svg)]
    wanted = [row.replace(" ", "") for row in pictures.golden_body(name)]
    assert len(wanted) > 5 and [row for row in found[1:] if row] == [row for row in wanted if row]


def test_the_readmes_picture_of_an_hour_is_what_the_program_draws():
    with open(os.path.join(pictures.FOLDER, "hour.svg"), encoding="utf-8") as file:
        assert file.read() == hour.drawn()


def test_qvm_ls_runs_beside_the_screen(tmp_path):
    """Asked again it is not waited for: a qube that is new appears when it has answered."""
    scene.write(str(tmp_path))
    session = sessions.Session(calls.Recorded(str(tmp_path)))
    session.step(0)

    class Slow:
        code, turns = None, 0

        def read(self):
            Slow.turns += 1
            self.code = 0 if Slow.turns == 5 else None
            return b"sys-pyfw|Running|A|10.137.0.6|sys-net|python-firewall\n" if Slow.turns == 1 else b""

        def end(self):
            Slow.turns += 100

    session.source.list_call = Slow
    session.source.listing = None
    for now in range(sessions.LISTING - 1, sessions.LISTING + 5):
        session.step(now)
        assert len(session.world.firewalls) == 2
    session.step(100)
    assert list(session.world.firewalls) == ["sys-pyfw"] and Slow.turns == 105
    assert {name for name, _ in session.asked} == {"sys-pyfw"}


def test_a_qvm_ls_that_fails_later_leaves_what_was_known(tmp_path):
    scene.write(str(tmp_path))
    session = sessions.Session(calls.Recorded(str(tmp_path)))
    session.step(0)
    os.unlink(str(tmp_path / "qvm-ls"))
    for now in (20, 21, 22):
        session.step(now)
    assert len(session.world.firewalls) == 2 and "No such file" in session.world.fault


def test_flows_stay_on_the_screen_while_the_next_answer_comes(tmp_path):
    scene.write(str(tmp_path))
    session = screens.session_of(str(tmp_path))
    firewall = session.world.firewalls["sys-pyfw"]
    session.look(("sys-pyfw", scene.WORK))
    session.step(1000)
    session.step(1001)
    assert len(firewall.flows_of(scene.WORK)) == 6
    again = sessions.Asked(session.source, firewall, "firewall.Flows", scene.WORK + "+json")
    again._begin()
    assert len(firewall.flows_of(scene.WORK)) == 6 and firewall.coming == {}


def test_nothing_is_asked_of_a_qube_that_is_no_firewall(tmp_path):
    scene.write(str(tmp_path))
    session = sessions.Session(calls.Recorded(str(tmp_path)))
    session.step(0)
    assert {name for name, service in session.asked} == {"sys-pyfw", "sys-vpn"}
    assert streams.VERSION == 1
