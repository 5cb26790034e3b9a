"""qubes-firewall-top for a person without a manual: many qubes, long names, narrow terminals, firewalls that stop."""

import pytest

from tests.dom0 import scene, screens
from qubesfirewall import calls, draw, keys, model, session as sessions, texts, top  # noqa: E402: found by screens

CLIENTS = 60


def world_of(qubes, seconds=60, firewall="fw"):
    """A World with one firewall. qubes: [(name, address, octets a second)]"""
    text = "".join("%s|Running|A|%s|%s|linux\n" % (name, address, firewall) for name, address, _ in qubes)
    world = model.World()
    text += "%s|Running|A|10.137.0.6|sys-net|python-firewall\n" % firewall
    world.know(draw.dom0.Names(draw.dom0.parse(text.encode())))
    found = world.firewalls[firewall]
    found.take("firewall.Status", scene.head(seconds, 1, 1, "10.137.0.6", "10.137.0.5"))
    for _, address, _ in qubes:
        found.take("firewall.Status", scene.status(address, "3.0", 1, 1))
    for second in range(1, seconds + 1):
        found.take("firewall.Watch", {"at": second * 1000, "clients": [
            dict(client=address, to_octets=octets, from_octets=0, flows=1, new_flows=0, refused=0)
            for _, address, octets in qubes if octets]})  # fmt: skip
    world.name()
    return world


def lines_of(world, place, width=80, height=24):
    return draw.text_of(draw.draw(world, place, width, height)).splitlines()


def press(world, place, *words):
    for key in words:
        assert keys.press(place, world, key)
        draw.draw(world, place, 80, 24)


@pytest.fixture
def many():
    return world_of([("qube-%02d" % i, "10.138.0.%d" % (i + 1), i * 1000) for i in range(CLIENTS)])


def test_more_qubes_than_lines_are_told_and_reached(many):
    place = draw.Place()
    first = lines_of(many, place)
    assert first[1].startswith("QUBE ") and first[-1].endswith("▼ %d more" % (CLIENTS + 1 - 21))
    press(many, place, "page down")
    assert place.row == 20
    press(many, place, "end")
    last = lines_of(many, place)
    assert last[1] == first[1] and last[-2].startswith("qube-59") and last[-1].endswith("▲ 40 more")
    press(many, place, "page up", "up")
    middle = lines_of(many, place)
    assert [line for line in middle if line.startswith("qube-%02d" % place.row)] and "▲▼" in middle[-1]
    press(many, place, "home")
    assert lines_of(many, place) == first, "with the line of the firewall above the first qube"
    assert max(map(len, middle[-1:] + last[-1:] + first[-1:])) < 80, "a terminal's last cell stays empty"


def test_the_busiest_first_and_the_chosen_one_stays_chosen(many):
    place = draw.Place()
    press(many, place, *["down"] * 3)
    press(many, place, "s")
    lines = lines_of(many, place)
    assert "busiest first" in lines[0] and place.row == CLIENTS - 1 - 3
    assert place.listed(many)[0] == ("fw", "10.138.0.60")
    press(many, place, "enter")
    assert place.who == ("fw", "10.138.0.4"), "a qube is opened that was chosen, wherever its row went"
    press(many, place, "escape", "s")
    assert (place.row, place.by_use) == (3, False)


@pytest.mark.parametrize("width", [60, 66, 67, 79, 80, 93, 94, 200])
def test_numbers_come_before_pictures(many, width):
    lines = lines_of(many, draw.Place(), width)
    assert lines[1].split()[0] == "QUBE" and lines[1].split()[-1] == "REFUSED" and len(lines[1]) <= width
    assert ("LAST MINUTE" in lines[1]) == (width >= 80)
    rows = [line for line in lines if line.startswith("qube-")]
    assert rows and all(len(row) == len(lines[1]) for row in rows), "each stands below its head"


def test_long_names_are_told_apart():
    names = ["anon-whonix-work-1", "anon-whonix-work-2", "x" * 31, "short"]
    world = world_of([(name, "192.168.100.%d" % (101 + i), 1) for i, name in enumerate(names)])
    lines = [line for line in lines_of(world, draw.Place()) if "192.168" in line]
    assert len({line.split()[0] for line in lines}) == 4 and len({len(line) for line in lines}) == 1
    assert all("192.168.100.10%d " % (1 + names.index(n)) in "".join(lines) for n in names), "whole addresses"


def test_of_a_strangers_name_the_end_is_shown():
    """Who owns it stands there; anybody can put what looks like another's in front."""
    row = scene.refusal("10.0.0.1", "tcp", "192.0.2.1", 443, "github.com." + "x" * 60 + ".evil.example", 0, "", 1, 1, 1)
    assert draw._target(row, 28).endswith(".evil.example") and draw._target(row, 28).startswith("…")
    for cut in (texts.end, texts.middle, texts.cut):
        for width in range(0, 12):
            assert len(cut("a-name.example", width)) == width and cut("abc", 5) == "abc  "


def test_why_all_is_refused_is_shown_whole(tmp_path):
    scene.write(str(tmp_path))
    for width in (40, 80):
        shown = screens.typed(screens.session_of(str(tmp_path)), "", width)
        assert "rule 1: dst4: got '192.0.2.0/33', expected an IPv4 address, / and 0 to 32" in " ".join(shown.split())


def test_a_firewall_that_stops_has_no_rate_and_says_so(many):
    place = draw.Place()
    press(many, place, "end")
    before = lines_of(many, place)[-2]
    assert "59.0 kB" in before and "█" in before
    many.firewalls["fw"].fault = "no answer: it is not running"
    lines = lines_of(many, place)
    assert "59.0 kB" not in lines[-2] and "█" not in lines[-2] and len(lines[-2]) == len(before)
    press(many, place, "home")
    assert "no answer" in lines_of(many, place)[2]
    for key in ("enter", "r"):
        press(many, place, key)
        assert "of before: now fw: no answer" in "".join(lines_of(many, place))


def test_no_firewall_at_all_says_how_one_is_known():
    shown = "".join(lines_of(world_of_none(), draw.Place()))
    assert "No firewall qube" in shown and "python-firewall" in shown and "qubes-firewall-top QUBE" in shown


def world_of_none():
    world = model.World()
    world.know(draw.dom0.Names([]))
    return world


@pytest.mark.parametrize(
    "name, says", [("nobody", "there is no qube nobody"), ("vault", "netvm of vault is none"), ("sys-pyfw", "sys-net")]
)
def test_the_refusals_of_a_qube_that_has_none(tmp_path, name, says):
    scene.write(str(tmp_path))
    session = sessions.Session(calls.Recorded(str(tmp_path)))
    session.step(0)
    place = draw.Place()
    assert says in top._begin_at(session.world, place, name) and place.screen == "qubes"
    assert top._begin_at(session.world, place, "chat") == "" and place.who == ("sys-pyfw", scene.CHAT)
    session.close()


def test_all_keys_are_shown_in_80_columns_beside_how_many_lines_there_are_more():
    for foot in draw.KEYS.values():
        assert len(foot) + len(" ▲▼ 999 more ") <= 80
