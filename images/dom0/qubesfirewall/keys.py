"""What keys do: pure, on a draw.Place. Keys are names: "up", "down", "enter", "escape", "back", or a character."""


def press(place, world, key):
    """False when the person wants to leave."""
    if place.asking:
        _ask(place, key)
        return True
    if key in ("q", "Q"):
        return False
    if key == "/":
        place.asking, place.row, place.top = True, 0, 0
    elif key in ("up", "k", "down", "j"):
        last = max(len(place.listed(world)) - 1, 0)  # rows come and go by themselves
        place.row = max(min(place.row, last) - 1, 0) if key in ("up", "k") else min(place.row + 1, last)
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
        place.who = listed[min(place.row, len(listed) - 1)]
    place.screen, place.row, place.top, place.filter = screen, 0, 0, ""


def _leave(place, world):
    place.screen, place.filter, place.top = "qubes", "", 0
    listed = place.listed(world)
    place.row = listed.index(place.who) if place.who in listed else 0
    place.who = None
