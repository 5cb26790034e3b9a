"""`./build.py screens`: the README's pictures of qubes-firewall-top, from a real terminal (tmux) on the answers of
scene.py.

What the terminal shows, with its colours, becomes an SVG by rich; its text must be the golden one, so that picture
and test
tell of the same screen. docs/screens/hour.svg is drawn by the program's own --svg.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

from . import hour, scene, screens

FOLDER = os.path.join(screens.HERE, "..", "..", "docs", "screens")
PROGRAM = os.path.join(screens.HERE, "..", "..", "images", "dom0", "qubes-firewall-top")
# golden screen: keys that lead there, in tmux's names
KEYS = {"qubes": "Down Down Down Down", "flows": "Down Down Down Down Enter", "refused": "Down r"}
WIDTH, HEIGHT = 80, 24
CELL = 12.2  # width of a character in the pictures
WAIT = 60  # seconds for a screen to come
CLOCK = "20:14:33"  # of the day, in each picture, so that they are the same whenever they are made


class Terminal:
    """qubes-firewall-top in a terminal of 80 by 24, in a tmux of its own."""

    def __init__(self, folder, socket):
        self.tmux = ["tmux", "-f", "/dev/null", "-S", socket]
        command = "%s %s --stream %s" % (sys.executable, PROGRAM, folder)
        words = ["new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), command, ";", "set", "-g", "status", "off"]
        environment = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color")
        subprocess.run(self.tmux + words, check=True, env=environment)

    def keys(self, words):
        if words:
            subprocess.run(self.tmux + ["send-keys"] + words.split(), check=True)

    def shows(self, colours=False):
        """The screen's text, with escape sequences for its colours if wanted."""
        words = ["capture-pane", "-p"] + (["-e"] if colours else [])
        return subprocess.run(self.tmux + words, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout

    def wait(self, body):
        """Wait for a screen whose text below the title is this; it may go on by itself until it is."""
        for _ in range(WAIT * 20):
            if below_title(self.shows()) == body:
                return
            time.sleep(0.05)
        raise SystemExit("the terminal shows\n%s\nand not\n%s" % (self.shows(), body))

    def close(self):
        subprocess.run(self.tmux + ["kill-server"], stderr=subprocess.DEVNULL)


def below_title(text):
    """Without the first line, which has the time of day, and without spaces at ends."""
    return [line.rstrip() for line in text.splitlines()[1:]]


def golden_body(name):
    return below_title(screens.golden(name))


def driven(name):
    """The colours of a screen, from the terminal, once its text is the golden one."""
    with tempfile.TemporaryDirectory() as folder:
        scene.write(os.path.join(folder, "scene"))
        terminal = Terminal(os.path.join(folder, "scene"), os.path.join(folder, "tmux"))
        try:
            terminal.wait(golden_body("qubes"))  # which row is chosen does not show in its text
            terminal.keys(KEYS[name])
            terminal.wait(golden_body(name))
            return terminal.shows(colours=True)
        finally:
            terminal.close()


def render(coloured, title):
    """An SVG of what a terminal shows."""
    from rich.ansi import AnsiDecoder
    from rich.console import Console

    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True, legacy_windows=False)
    coloured = re.sub(r"\d\d:\d\d:\d\d", CLOCK, coloured, count=1)
    lines = list(AnsiDecoder().decode(coloured.rstrip("\n")))  # a style goes on from line to line
    used = max(i for i, line in enumerate(lines[:-1]) if line.plain.strip()) + 1
    for line in lines[: used + 1] + lines[-1:]:  # not all of the empty ones
        console.print(line, no_wrap=True, crop=True)
    return without_fonts(placed(console.export_svg(title=title, unique_id="screen")))


def placed(svg):
    """Texts begin where their first letter is: not all that draw SVG keep a text's leading spaces."""

    def moved(found):
        x, y, length, more, spaces = found.groups()
        gone = len(spaces) // len("&#160;") * CELL
        return '<text%s x="%g" y%s textLength="%g"%s>' % (
            found.group(0).split(" x=")[0][5:], float(x) + gone, y, float(length) - gone, more)

    text = r'<text[^>]*? x="([\d.]+)" y(="[\d.]+") textLength="([\d.]+)"([^>]*)>((?:&#160;)+)(?=[^&<])'
    return re.sub(text, moved, svg)


def without_fonts(svg):
    """rich names fonts on the network; the reader's own will do."""
    begin, end = svg.find("@font-face"), svg.rfind("@font-face")
    if begin >= 0:
        svg = svg[:begin] + svg[svg.index("}", end) + 1 :].lstrip()
    return svg.replace("Fira Code, monospace", "monospace")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for name in KEYS:
        with open(os.path.join(FOLDER, name + ".svg"), "w", encoding="utf-8") as file:
            file.write(render(driven(name), "qubes-firewall-top"))
        print("docs/screens/%s.svg" % name)
    with open(os.path.join(FOLDER, "hour.svg"), "w", encoding="utf-8") as file:
        file.write(hour.drawn())
    print("docs/screens/hour.svg")


if __name__ == "__main__":
    main()
