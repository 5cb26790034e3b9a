"""Each number has one owner. Private copies, which the compiler puts in their place, are compared with it here."""
import ast
import glob
import os
import re

CHECKOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = "port/modules/xennumbers.py", "PAGE"
SELF = "port/modules/xennumbers.py", "DOMID_SELF"
ETHERNET = "firewall/wire/ethernet.py", "SIZE"
FIRST = "port/modules/net/ring.py", "FIRST"
TWIN = {  # name of a copy: its owner, and what the owner's number is divided by
    "_PAGE": (PAGE, 1), "_SELF": (SELF, 1), "_ETHERNET": (ETHERNET, 1), "IP": (ETHERNET, 1), "_IP": (ETHERNET, 1),
    "_FIRST_WORD": (FIRST, 4),
}
NETIF = "port/modules/net/netif.py"
TWIN.update({"_" + name: ((NETIF, name), 1) for name in ("TX_WORDS", "RX_WORDS", "MORE_DATA", "EXTRA_INFO", "EXTRA_MORE")})
TWIN.update({"_BLANK": ((NETIF, "TX_CSUM_BLANK"), 1), "_VALIDATED": ((NETIF, "TX_DATA_VALIDATED"), 1)})


def constants():
    """(file, name) -> number of each `NAME = const(NUMBER)` in the image."""
    found = {}
    for pattern in ("port/modules/**/*.py", "net*/*.py", "firewall/**/*.py"):
        for path in glob.glob(os.path.join(CHECKOUT, pattern), recursive=True):
            with open(path, encoding="utf-8") as text:
                tree = ast.parse(text.read())
            for each in tree.body:
                if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call) and getattr(each.value.func, "id", "") == "const":
                    value = each.value.args[0]
                    if isinstance(value, ast.Constant):
                        found[os.path.relpath(path, CHECKOUT), each.targets[0].id] = value.value
    return found


CONSTANTS = constants()


def test_copies_are_as_their_owners():
    copies = {place: number for place, number in CONSTANTS.items() if place[1] in TWIN}
    assert len(copies) > 8
    for place, number in copies.items():
        owner, parts = TWIN[place[1]]
        assert number * parts == CONSTANTS[owner], place


def test_nobody_else_owns_them():
    names = {"PAGE", "DOMID_MAX", "DOMID_SELF", "PORT_MAX", "REF_MAX", "MTU", "MTU_LEAST", "MTU_MOST"}
    owners = [place for place in CONSTANTS if place[1].strip("_") in names and place[1] not in TWIN and not place[0].startswith("firewall/")]  # there MTU is a field
    assert sorted(name for _, name in owners) == sorted(names), owners
    numbers = {CONSTANTS[PAGE[0], "DOMID_MAX"], CONSTANTS[SELF]}
    assert {place[0] for place, number in CONSTANTS.items() if number in numbers and place[1] not in TWIN} == {PAGE[0]}


def test_what_follows_from_others():
    assert CONSTANTS[NETIF, "MTU_ONE_PAGE"] == CONSTANTS[PAGE] - CONSTANTS[ETHERNET]
    assert CONSTANTS[NETIF, "MTU_MOST"] == 0xFFFF - CONSTANTS[ETHERNET]
    assert CONSTANTS[PAGE[0], "DOMID_MAX"] == CONSTANTS[SELF] - 1
    slots = {(place[1], number) for place, number in CONSTANTS.items() if place[1] in ("SLOTS", "_SLOT", "_LAST") and "/net/" in place[0]}
    assert slots == {("SLOTS", 256), ("_SLOT", 255), ("_LAST", 255)}
    assert CONSTANTS["netback/intake.py", "_ERROR"] == 0xFFFF0000  # netif.ERROR << 16
    with open(os.path.join(CHECKOUT, "port", "modgrant.c")) as text:
        most = re.findall(r"domain > (\w+)", text.read())
    assert {int(each, 16) for each in most} == {CONSTANTS[PAGE[0], "DOMID_MAX"]}


def test_the_states_of_a_device_are_xens_and_stand_once():
    """Xen public/io/xenbus.h"""
    names = ("UNKNOWN", "INITIALISING", "INIT_WAIT", "INITIALISED", "CONNECTED", "CLOSING", "CLOSED", "RECONFIGURING", "RECONFIGURED")
    assert [CONSTANTS["port/modules/xenbus/states.py", name] for name in names] == list(range(9))
    assert {place[0] for place in CONSTANTS if place[1] in names} <= {"port/modules/xenbus/states.py", "port/modules/vchan/page.py"}
