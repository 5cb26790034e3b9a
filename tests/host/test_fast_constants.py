"""What fast/ repeats, as machine code has no names but its own constants: each copy is its owner's value."""
import ast
import os

import pytest

from firewall import interfaces
from firewall.flows import clients, record, state
from firewall.inbound import GROUPS
from firewall.wire import byteorder, ethernet, icmp, ipv4
from net import netif

ROWS = "../../port/modules/net/rows"  # imports xen
RING = "../../port/modules/net/ring"
LENT = "../../netfront/lent"
FAST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "firewall", "fast")


def constants(name):
    """{name: value} of a module's const() lines."""
    with open(os.path.join(FAST, name + ".py"), encoding="utf-8") as text:
        tree = ast.parse(text.read())
    found = {}
    for line in tree.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call) and line.value.func.id == "const":
            found[line.targets[0].id] = eval(compile(ast.Expression(line.value.args[0]), name, "eval"), {}, found)
    return found


def unpacked(name, function):
    """The names by which a function of a module has what it is given."""
    with open(os.path.join(FAST, name + ".py"), encoding="utf-8") as text:
        tree = ast.parse(text.read())
    lines = [line for each in tree.body if getattr(each, "name", "") == function for line in each.body]
    targets = [line.targets[0] for line in lines if isinstance(line, ast.Assign)]
    return [name.id for name in next(each for each in targets if isinstance(each, ast.Tuple)).elts]


RECORD = (
    "PORTS KIND NEW_SRC NEW_DST NEW_PORTS DELTAS EGRESS CLIENT GENERATION "
    "SEEN PACKETS OCTETS LIFE BACK SIDE_UPLINK TTL_DELTA"
).split()
ROW = {"_NUMBERS": "NUMBERS", "_ROW": "ROW", "_ROW_MTU": "MTU", "_ROW_CLIENT": "CLIENT", "_ROW_FEATURES": "FEATURES",
       "_ROW_HEADER": "HEADER", "_ROW_SIDE": "SIDE", "_SG": "SG", "_GSO": "GSO", "_CSUM": "CSUM"}
NETIF = {"_" + name: getattr(netif, name) for name in (
    "MORE_DATA", "EXTRA_INFO", "EXTRA_GSO", "GSO_TCPV4", "NULL", "TX_WORDS", "RX_WORDS", "OKAY")}


def test_of_records_interfaces_and_protocols():
    own = constants("known")
    for name in RECORD:
        assert own["_" + name] == getattr(record, name), name
    for name, theirs in ROW.items():
        assert own[name] == getattr(interfaces, theirs), name
    runs = constants("runs")
    assert runs["_FAILED"] == constants(ROWS)["FAILED"]
    assert (runs["_IPV4"], runs["_ARP"], runs["_TAGGED"]) == (ethernet.IPV4, ethernet.ARP, ethernet.TAGGED)
    rows = constants(ROWS)
    for name in "PACKET FIRST_PART OFFLOADS FATE PART FAILED".split():
        assert own["_" + name] == rows[name], name
    assert own["_PARTS"] == rows["HOW_MANY"] and own["_PAGE"] == 4096
    assert own["_ICMP_ASSURED"] == state.ICMP_ASSURED
    assert own["_MAPPED"] == clients.SLOTS and own["_HELD"] == state.HELD
    assert (own["_ICMP"], own["_TCP"], own["_UDP"]) == (ipv4.ICMP, ipv4.TCP, ipv4.UDP)
    assert own["_BLANK"] == netif.TX_CSUM_BLANK
    assert (icmp.ECHO, icmp.ECHO_REPLY) == (8, 0)


def test_of_pages_lent():
    own = constants(LENT)
    assert (own["_SLOTS"], own["_NOBODY"]) == (constants(RING)["SLOTS"], netif.NO_PAGE)


def test_of_flows_that_begin():
    own, known, entries = (constants(name) for name in ("opening", "known", "entries"))
    theirs = {**entries, **known}
    theirs.update(_ROW_OCTETS=known["_LENGTH"], _GROUPS=GROUPS >> 24, _ECHO=icmp.ECHO)
    theirs.update(_SCALARS=0, _ICMP_NEW=state.ICMP_NEW, _UDP_NEW=state.UDP_NEW, _SYN_SENT=state.SYN_SENT)
    theirs.update(_ANSWER=byteorder.ports(0, record.ANSWER))
    theirs.update({name[3:]: (at - 16) // 2 for name, at in known.items() if name.startswith("_AT_")})  # places
    for name, value in own.items():
        if name.startswith("_"):
            assert theirs[name] == value, name


def test_of_what_is_swept():
    own = constants("sweep")
    for name in ("WORDS", "KIND", "EGRESS", "SEEN", "BACK"):
        assert own["_" + name] == getattr(record, name), name
    assert own["_ICMP_ASSURED"] == state.ICMP_ASSURED


def of_links():
    """What links and rings have in words, by the names that the kernels have for it."""
    ring, rows, link = constants(RING), constants(ROWS), constants("../../netback/link")
    found = {"_" + name: ring[name] for name in ("PROD", "PUBLISHED", "CONS")}
    found.update({name: ring[name] for name in ("_REQ_PROD", "_REQ_EVENT", "_RSP_PROD", "_RSP_EVENT")})
    found.update(_RING=ring["SLOTS"], _PACKETS=rows["PACKETS"], _FROM=rows["FROM"], _TO=rows["TO"])
    found.update(_SENDING=link["SENDING"], _HELD=link["HELD"], _DEAF=link["DEAF"])
    kept = constants("../../port/modules/net/quarantine")
    found.update(_LIMIT=kept["LIMIT"], _TX_RESERVE=kept["TX_RESERVE"])
    found["_ROOMY"] = constants("../bursts/through")["CALM_SLOTS"] + netif.SLOTS_MAX
    assert found["_ROOMY"] == constants("../../netfront/backlog")["ROOMY"]
    return found


def test_of_all_rings():
    own, look = constants("rings"), constants("../bursts/look")
    known = dict(of_links(), _ROW=4 * look["_ROW"], _LOOKED=constants("passes")["_LOOKED"])
    known.update({"_" + name: look[name] for name in (
        "SOME", "ANSWERED", "HOLDING", "WAITING", "ROOM", "MORE", "ASKED", "WHO")})
    for each, value in own.items():
        if each not in ("_TX", "_TX_OWN", "_RX", "_RX_OWN", "_LINK", "_ANSWERS"):
            assert known[each] == value, each


@pytest.mark.parametrize("name", ["client_tx", "client_rx", "uplink_tx", "uplink_rx"])
def test_of_rings(name):
    own = constants(name)
    known = dict(NETIF, _FIRST_WORD=16, _MASK=255, _PAGE=4096, _ETHERNET=14, _ERROR=netif.ERROR & 0xFFFF)
    known.update(_NOBODY=netif.NO_PAGE, _FAILED=constants(ROWS)["FAILED"])
    known["_BOUNCE"] = constants("../../port/modules/net/grantcopy")["BOUNCE"]
    known.update(of_links())
    known["_SLOTS_MAX"] = netif.SLOTS_MAX + (1 if name == "uplink_rx" else 0)
    of_net_rows = "_PACKET _PART _OP _FIRST_SLOT _SLOTS _FIRST_PART _PARTS _OCTETS _OFFLOADS _FATE _FIRST_OP".split()
    of_net_rows += "_SELF _FROM_PEER _TO_PEER _POSTED".split()
    for each, value in own.items():
        if each not in of_net_rows and not each.startswith("_PART_"):
            assert known[each] == value, each
    assert len(own) > 8


def test_of_captures():
    own, rows, theirs = constants("tapped"), constants(ROWS), constants("uplink_tx")
    assert own["_FAILED"] == rows["FAILED"] and own["_NOW"] == rows["PACKETS"] and own["ROWS"] == rows["PACKETS"] + 2
    assert own["_OF_SNAP"] == own["SNAP"] and own["_NUMBERS"] == interfaces.NUMBERS
    assert own["_JUDGED"] == own["_NOW"] + 1 and own["_TAPPED"] == constants("../turns")["TAPPED"]
    assert own["_NOBODY"] == constants("../capture")["_NOBODY"] >= own["_NUMBERS"]
    for name in "_PACKET _FIRST_PART _PARTS _OCTETS _PAGE _PART _PART_PAGE _PART_OFFSET".split():
        assert own[name] == theirs[name], name


def test_of_passes():
    own, alone, look = constants("passes"), constants("../bursts/alone"), constants("../bursts/look")
    through, rows = constants("../bursts/uplink"), constants(ROWS)
    known = {"_" + name: value for name, value in alone.items()}
    of_look = "SOME ANSWERED HOLDING WAITING ROOM MORE ASKED WHO".split()
    known.update({"_" + name: look[name] for name in of_look})
    known.update(_NS_PER_MS=constants("../forward")["_NS_PER_MS"], _RESTS=constants("../turns")["RESTS"])
    known.update(_PACKET=rows["PACKET"], _FATE=rows["FATE"], _LOOKED=constants("rings")["_LOOKED"])
    known.update(_COMPLETED=through["_COMPLETED"])
    places = {"_" + name.upper(): i for i, name in enumerate(unpacked("passes", "alone"))}
    assert own.pop("_OF_WORDS") == places["_OF_WORDS"]
    assert own == {name: known[name] for name in own}
    private = [name for name in alone if name.startswith("_")]
    assert private == ["_TALLY", "_CAME", "_WENT", "_TAPS"]
    assert [alone[name] for name in private] == [places[name] for name in private]
    assert {name for name in alone if name not in private and "_" + name not in own} == set()
