"""curses: puts the grid of draw.py on a terminal and gives keys their names. All else is elsewhere."""

import curses
import os
import select
import sys
import time

from . import draw, keys

NAMES = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_ENTER: "enter",
    10: "enter",
    13: "enter",
    27: "escape",
    curses.KEY_BACKSPACE: "back",
    127: "back",
    8: "back",
    curses.KEY_LEFT: "escape",
    curses.KEY_RIGHT: "enter",
    curses.KEY_PPAGE: "page up",
    curses.KEY_NPAGE: "page down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
}
FRAME, BUSY = 0.25, 0.05  # seconds between two looks, when nothing came and when something did


def run(session, place):
    """Show a session until the person leaves."""
    os.environ.setdefault("ESCDELAY", "25")  # ms: else the Escape key takes a second
    curses.wrapper(_loop, session, place)


def _styles():
    colours = {
        "title": (curses.COLOR_WHITE, curses.A_BOLD),
        "keys": (curses.COLOR_CYAN, 0),
        "head": (curses.COLOR_CYAN, 0),
        "heading": (curses.COLOR_WHITE, curses.A_BOLD),
        "bar": (curses.COLOR_GREEN, 0),
        "spark": (curses.COLOR_GREEN, 0),
        "bad": (curses.COLOR_RED, curses.A_BOLD),
        "chosen": (curses.COLOR_WHITE, curses.A_REVERSE),
        "dim": (curses.COLOR_WHITE, curses.A_DIM),
    }
    made = {"": 0}
    coloured = curses.has_colors()
    if coloured:
        curses.use_default_colors()
    for number, (style, (colour, more)) in enumerate(colours.items(), 1):
        if coloured:
            curses.init_pair(number, colour if colour != curses.COLOR_WHITE else -1, -1)
            more |= curses.color_pair(number)
        made[style] = more
    return made


def _loop(window, session, place):
    styles = _styles()
    window.nodelay(True)
    window.keypad(True)
    try:
        curses.curs_set(0)
    except curses.error:
        pass
    shown = None
    while True:
        busy = session.step(time.monotonic())
        key = _key(window)
        while key is not None:
            if not keys.press(place, session.world, key):
                return
            session.look(place.who if place.screen == "flows" else None)
            key = _key(window)
            shown = None
        height, width = window.getmaxyx()
        lines = draw.draw(session.world, place, width, height, time.strftime("%H:%M:%S"))
        if lines != shown:
            _paint(window, lines, styles, width, height)
            shown = lines
        # who floods us is read at this pace, and does not keep dom0 busy
        select.select([sys.stdin] + ([] if busy else session.waiting()), [], [], BUSY if busy else FRAME)


def _key(window):
    try:
        got = window.get_wch()
    except curses.error:
        return None
    code = ord(got) if isinstance(got, str) else got
    if code == curses.KEY_RESIZE:
        return None
    return NAMES.get(code, got if isinstance(got, str) else "")


def _paint(window, lines, styles, width, height):
    window.erase()
    for y, line in enumerate(lines):
        x = 0
        for text, style in line:
            if y == height - 1:
                text = text[: width - x - 1]  # the last cell of all would scroll
            try:
                window.addstr(y, x, text, styles.get(style, 0))
            except curses.error:
                pass
            x += len(text)
    window.refresh()
