"""Row 96 of docs/behaviours.md: docs/attack-surface.md lists what can be reached, and the sources do no more and no less."""
import ast
import glob
import os
import re
import struct

import pytest
from packets import ACK, FIN, PSH, RST, SYN, Look, arp, echo, icmp_message, ip, looks, tcp, udp
from scenes import A, OURS, SERVER

from tests.network import CLIENT_MAC, Network

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
COMMANDS = re.compile(r"\b((?:EVTCHNOP|GNTTABOP|VCPUOP|HVMOP|XENMEM|SCHEDOP|__HYPERVISOR)_\w+)")


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


LISTED = read("docs/attack-surface.md")


def c_sources():
    """{file: text without comments} of the C and assembly that is linked into the image."""
    paths = [path for pattern in ("*.c", "*.h", "*.S") for path in glob.glob(os.path.join(ROOT, "port", pattern))]
    return {os.path.basename(path): re.sub(r"//[^\n]*|/\*.*?\*/", "", read(path), flags=re.S) for path in paths}


def python_sources():
    """{path: text} of all Python that is frozen into the image."""
    folders = ("port/modules", "netfront", "netback", "firewall")
    paths = [path for folder in folders for path in glob.glob(os.path.join(ROOT, folder, "**/*.py"), recursive=True)]
    return {os.path.relpath(path, ROOT): read(path) for path in paths}


def test_behaviour_96_hypercalls_are_those_that_are_listed():
    used = set()
    for text in c_sources().values():
        used |= set(COMMANDS.findall(text))
    listed = set(COMMANDS.findall(LISTED))
    assert used == listed
    assert len(used) > 15


def test_behaviour_96_hypercalls_are_issued_in_one_place():
    sources = c_sources()
    assert {name for name, text in sources.items() if re.search(r"\bvmm?call\b", text)} == {"hypercall.h"}
    assert {name for name, text in sources.items() if re.search(r"\bhypercall\(", text)} == {"hypercall.h"}


def test_behaviour_96_no_other_way_out_of_the_domain():
    """I/O ports, registers of the machine: only what the list or boot has."""
    found = {}
    for name, text in c_sources().items():
        for word in re.findall(r"\b(in[bwl]|ins[bwl]|out[bwl]|outs[bwl]|wrmsr|rdmsr|syscall|int \$\w+)\b", text):
            found.setdefault(word, set()).add(name)
    boot = {"rdmsr": {"boot.S"}, "wrmsr": {"boot.S", "xenhost.h"}}  # of the processor: long mode
    assert found == {"outb": {"xenhost.h", "boot.S"}, **boot}
    for name in ("xenhost.h", "boot.S"):
        assert re.findall(r"outb [^\n]*\$?0x(\w+)", c_sources()[name]) == ["e9"]
    users = [name for name, text in c_sources().items() for _ in re.findall(r"\bwrite_msr\(", text)]
    assert sorted(users) == ["start.c", "xenhost.h"]  # told where Xen writes its page, once


def test_behaviour_96_channels_and_nodes_are_those_that_are_listed():
    sources = python_sources()
    calls = {}
    for path, text in sources.items():
        if path == "port/modules/vchan/transport.py":
            continue  # its example
        for call in re.findall(r"\btransport\.(\w+)\(", text):
            calls.setdefault(call, set()).add(path)
    qubes = {name: "firewall/qubes/%s.py" % name for name in ("connection", "calls", "agent", "outgoing")}
    assert calls == {"connect": {qubes["connection"], qubes["calls"]}, "accept": {qubes["agent"], qubes["outgoing"]}}
    asked = {
        "connection": ("connect", "self.store, DOM0, PORT", 111),
        "agent": ("accept", "self.store, DOM0, PORT, _RING, _RING", 512),
        "calls": ("connect", "store, request.domain, request.port, _LARGEST", None),
        "outgoing": ("accept", "self.store, domain, port, _RING, _RING", None),
    }
    for name, (act, arguments, port) in asked.items():
        text = sources[qubes[name]]
        assert set(re.findall(r"transport\.%s\(([^)]*)\)" % act, text)) == {arguments}
        assert qubes[name] in LISTED
        if port:
            assert re.findall(r"^(?:DOM0|PORT) = const\((\d+)\)", text, re.M) == ["0", str(port)]
            assert "domain 0, port %d" % port in LISTED
    watching = {path for path, text in sources.items() if re.search(r"\bstore\.watch\(", text)}
    roots = {
        "port/modules/control.py": "control",
        "netback/watch.py": "backend/vif",
        "netfront/uplink.py": "device/vif",
    }
    own = {"netback/vif.py", "port/modules/vchan/memory.py", "port/modules/xenbus/store.py"}  # below those; an example
    assert watching == set(roots) | own
    for path, root in roots.items():
        assert '_ROOT = "%s"' % root in sources[path] and "`%s`" % root in LISTED and path in LISTED


def test_behaviour_96_services_are_those_that_are_listed():
    services, called = set(), set()
    for path, text in python_sources().items():
        for each in ast.walk(ast.parse(text)):
            assigned = isinstance(each, ast.Assign) and isinstance(each.value, ast.Dict)
            if assigned and path.startswith("firewall/services/"):
                if [getattr(target, "id", "") for target in each.targets] == ["SERVICES"]:
                    services |= {key.value for key in each.value.keys}
            if isinstance(each, ast.Call) and getattr(each.func, "attr", "") in ("call", "open"):
                called |= {word.value for word in each.args[:1] if isinstance(word, ast.Constant)}
    assert services == set(re.findall(r"`((?:qubes|firewall)\.[A-Z]\w+)`", LISTED)) - called
    assert len(services) > 15 and "qubes.FeaturesRequest" in called


def answers(net, wire, frames):
    """[(frame, what came back)] of those that were answered; the share of our messages is never used up."""
    seen = []
    for frame in frames:
        net.now += 100
        wire.send(frame)
        seen += [(frame, answer) for answer in iter(lambda: wire.recv(0), None)]
    return seen


def ports():
    return sorted({*range(1100), *range(1100, 65536, 37), 5353, 5355, 8082, 8443, 65535})


@pytest.mark.parametrize("side", ["client", "uplink"])
def test_behaviour_96_no_port_is_open(side):
    """Whatever comes to our own addresses: nothing but what the list has is answered, whichever the port."""
    with Network() as net:
        client = net.client(A)
        wire, source = (client, A) if side == "client" else (net.uplink, SERVER)
        for build in (udp, lambda *ends: tcp(*ends, SYN), lambda *ends: tcp(*ends, ACK | PSH, b"data")):
            seen = answers(net, wire, [build(source, 40000, OURS, port) for port in ports()])
            if side == "uplink":
                assert not seen
                continue
            assert len(seen) == len(ports()) - (build is udp)
            for frame, answer in seen:
                look = Look(answer)
                assert (look.kind, look.code, look.src, look.dst, look.data) == (3, 10, OURS, A, frame[14:])
        assert net.neighbours.flows.count == 0
        assert not answers(net, net.uplink if side == "client" else client, [])


@pytest.mark.parametrize("side", ["client", "uplink"])
def test_behaviour_96_of_all_protocols_and_kinds(side):
    with Network() as net:
        client = net.client(A)
        wire, source = (client, A) if side == "client" else (net.uplink, SERVER)
        others = [ip(source, OURS, proto, bytes(24)) for proto in range(256) if proto not in (1, 6, 17)]
        kinds = [ip(source, OURS, 1, icmp_message(kind, 0, 5 << 16 | 1, bytes(20))) for kind in range(256)]
        flags = [tcp(source, 40000, OURS, 22, set) for set in (SYN | ACK, RST, RST | ACK, FIN | ACK)]
        types = [CLIENT_MAC * 2 + struct.pack("!H", kind) + bytes(60) for kind in range(0, 65536, 3)]
        requests = [arp(oper, CLIENT_MAC, source, OURS) for oper in range(9)]
        kinds_seen = looks(answer for _, answer in answers(net, wire, others + kinds + flags + types))
        if side == "uplink":
            assert not kinds_seen
        else:
            assert [look.kind for look in kinds_seen] == [3] * len(others) + [0]
        assert [answer[12:14] for _, answer in answers(net, wire, requests)] == [b"\x08\x06"]
        wire.send(echo(source, OURS))
        assert (wire.recv(0) is not None) == (side == "client")
