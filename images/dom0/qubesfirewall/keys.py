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
    elif key in ("up", "k"):
        place.row = max(place.row - 1, 0)
    elif key in ("down", "j"):
        place.row = min(place.row + 1, max(rows(place, world) - 1, 0))
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


def _clients(place, world):
    return [(firewall.name, client.address) for firewall, clients in world.rows(place.filter) for client in clients]


def _open(place, world, screen):
    if place.screen == "qubes":
        listed = _clients(place, world)
        if not listed:
            return
        place.who = listed[min(place.row, len(listed) - 1)]
    place.screen, place.row, place.top, place.filter = screen, 0, 0, ""


def _leave(place, world):
    place.screen, place.filter, place.top = "qubes", "", 0
    listed = _clients(place, world)
    place.row = listed.index(place.who) if place.who in listed else 0
    place.who = None


def rows(place, world):
    """How many rows can be chosen on the screen."""
    firewall, client = place.of(world)
    if place.screen == "qubes" or client is None:
        return len(_clients(place, world))
    found = firewall.flows_of(client.address) if place.screen == "flows" else firewall.refused_of(client.address)
    return len(found)
