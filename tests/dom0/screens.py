"""Each screen of qubes-firewall-top on the recorded answers of scene.py, as text: what golden texts are compared with.

    python3 -m tests.dom0.screens [--write]

Runs on any Python from 3.8 on, without pytest; says which screens differ from golden/, and writes them anew with
--write.
"""

import importlib.util
import io
import json
import os
import pkgutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden")
sys.path.insert(0, os.path.join(HERE, "..", "..", "images", "dom0"))
sys.path.insert(0, os.path.join(HERE, "..", ".."))
from qubesfirewall import calls, draw, keys, session as sessions, top  # noqa: E402
from tests.dom0 import scene  # noqa: E402


def session_of(folder):
    """A Session that has read all that was recorded."""
    session = sessions.Session(calls.Recorded(folder))
    now = 0
    while now == 0 or not session.idle() or session.step(now):
        session.step(now)
        now += 1
    return session


def typed(session, words, width=80, height=24, clock="20:14:33"):
    """The screen after keys, one a word."""
    place = draw.Place()
    for key in words.split():
        assert keys.press(place, session.world, key)
        session.look(place.who if place.screen == "flows" else None)
        for now in (1000, 1001, 1002):
            session.step(now)
    return draw.text_of(draw.draw(session.world, place, width, height, clock))


def once(folder, *words):
    """What --once prints."""
    out = io.StringIO()
    assert top.once(top.parser().parse_args(["--once", "--stream", folder] + list(words)), out) == 0
    return out.getvalue()


SCREENS = {
    "qubes": lambda folder: typed(session_of(folder), "down down down down"),
    "qubes-wide": lambda folder: typed(session_of(folder), "", 132, 30),
    "qubes-small": lambda folder: typed(session_of(folder), "down down down down down", 60, 8),
    "flows": lambda folder: typed(session_of(folder), "down down down down enter"),
    "refused": lambda folder: typed(session_of(folder), "down r"),
    "filter": lambda folder: typed(session_of(folder), "/ w o r"),
    "once": lambda folder: once(folder, "--width", "80"),
    "once.json": lambda folder: (
        json.dumps(json.loads(once(folder, "--json", "--flows")), indent=1, sort_keys=True) + "\n"
    ),
}


def made():
    """{name: text} of all screens."""
    with tempfile.TemporaryDirectory() as folder:
        scene.write(folder)
        return {name: screen(folder) for name, screen in SCREENS.items()}


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        return file.read()


def main():
    found = made()
    if "--write" in sys.argv:
        os.makedirs(GOLDEN, exist_ok=True)
        for name, text in found.items():
            with open(os.path.join(GOLDEN, name), "w", encoding="utf-8") as file:
                file.write(text)
    wrong = [name for name, text in found.items() if text != golden(name)]
    for each in pkgutil.iter_modules([os.path.dirname(draw.__file__)]):
        if each.name != "screen" or importlib.util.find_spec("_curses"):  # a Python may have been built without it
            importlib.import_module("qubesfirewall." + each.name)
    print(
        "Python %d.%d: %d screens, %s"
        % (
            sys.version_info[:2]
            + (len(found), "as in golden/" if not wrong else "other than golden/: " + ", ".join(wrong))
        )
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
