"""What keys do: pure, on a draw.Place. Keys are names: "up", "down", "enter", "escape", "back", or a character."""


FAR = 1 << 30
MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -1, "page down": 1, "home": -FAR, "end": FAR}


def press(place, world, key):
    """False when the person wants to leave."""
    if place.asking:
        _ask(place, key)
        return True
    if key in ("q", "Q"):
        return False
    if key == "/":
        place.asking, place.row, place.top, place.chosen = True, 0, 0, None
    elif key in ("s", "S") and place.screen == "qubes":
        place.by_use = not place.by_use
    elif key in MOVES:
        _move(place, world, key)
    elif key in ("escape", "back"):
        if place.screen != "qubes":
            _leave(place, world)
        else:
            place.filter = ""
    elif key == "enter":
        _open(place, world, "flows")
    elif key in ("r", "R"):
        _open(place, world, "refused")
    return True


def _move(place, world, key):
    listed = place.listed(world)
    last = max(len(listed) - 1, 0)  # rows come and go by themselves
    if place.screen == "qubes":
        place.follow(listed)
    steps = MOVES[key] * (max(place.room - 1, 1) if key.startswith("page") else 1)
    place.row = max(min(min(place.row, last) + steps, last), 0)
    if place.screen == "qubes" and listed:
        place.chosen = listed[place.row]


def _ask(place, key):
    if key == "enter":
        place.asking = False
    elif key == "escape":
        place.asking, place.filter = False, ""
    elif key == "back":
        place.filter = place.filter[:-1]
    elif len(key) == 1 and 0x20 < ord(key) < 0x7F and len(place.filter) < 30:
        place.filter += key.lower()


def _open(place, world, screen):
    if place.screen == "qubes":
        listed = place.listed(world)
        if not listed:
            return
        place.follow(listed)
        place.who = place.chosen = listed[min(place.row, len(listed) - 1)]
    place.screen, place.row, place.top, place.filter = screen, 0, 0, ""


def _leave(place, world):
    place.screen, place.filter, place.top = "qubes", "", 0
    listed = place.listed(world)
    place.row = listed.index(place.who) if place.who in listed else 0
    place.who = None
