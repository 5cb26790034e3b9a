"""What services tell of a whole firewall: each form, and that it is true."""
import random

import pytest
from packets import SYN, echo, tcp, udp
from seeing import Seeing

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
SERVICES = "Status", "Flows", "Counters", "Watch", "Refused", "Explain", "Capture"
RULES = ("action=accept proto=tcp dstports=80-80", "action=drop proto=udp dstports=99-99", "action=accept proto=udp",
         "action=accept proto=icmp")
STATUS = {"version", "digest", "uptime", "uplink", "memory", "flows", "gap"}
UPLINK = {"state", "domain", "address", "gateway", "mtu", "sg", "gso", "csum", "since"}
MOVED = "from_packets", "from_octets", "to_packets", "to_octets"
CLIENT = {"client", "device", "domain", "rules", "loaded", "denied", "flows", "limit", "mtu"}


@pytest.fixture
def see(machine):
    return Seeing(machine)


def traffic(see):
    """Two clients and what they do: 3 flows of A's, and 5 packets that are refused."""
    a, b = see.net.client(A, RULES), see.net.client(B, None)
    see.machine.advance(1)
    a.send(tcp(A, 4000, SERVER, 80, SYN))
    for _ in range(3):
        a.send(udp(A, 4001, SERVER, 53, b"x" * 100))
    a.send(echo(A, SERVER, ident=77))
    for _ in range(4):
        a.send(udp(A, 4002, SERVER, 99))
    b.send(udp(B, 1, SERVER, 2))
    see.net.settle()
    see.net.uplink.send(udp(SERVER, 53, see.net.address, 4001, b"y" * 200))
    see.net.settle()
    return a, b


def test_status(see):
    traffic(see)
    first, a, b = see.objects("firewall.Status")
    assert set(first) == STATUS and set(first["uplink"]) == UPLINK and set(a) == set(b) == CLIENT
    assert first["uplink"]["state"] == "connected" and first["uplink"]["address"] == see.net.address
    assert first["uplink"]["gateway"] == see.net.upstream and first["uplink"]["domain"] == 1
    assert first["flows"] == {"used": 3, "capacity": 65536}
    assert 0 < first["memory"]["heap_used"] and 0 <= first["gap"]["longest_us"]
    assert (a["client"], a["rules"], a["denied"], a["flows"], a["mtu"]) == (A, 4, "", 3, 1500)
    assert (b["client"], b["rules"], b["denied"], b["loaded"]) == (B, 0, "no rules have come yet", -1)
    assert a["device"] == "5.0" and a["domain"] == 5 and 0 <= a["loaded"] <= first["uptime"] + 1000
    text = see.lines("firewall.Status")
    assert text[1].startswith("uplink: 10.138.0.2 by domain 1") and "everything is refused" in text[-1]


def test_status_without_an_uplink(machine):
    see = Seeing(machine, uplink=False)
    first, = see.objects("firewall.Status")
    assert first["uplink"]["state"] == "none" and first["uplink"]["domain"] == -1
    assert "uplink: none" in see.lines("firewall.Status")


def test_flows(see):
    traffic(see)
    see.machine.advance(2)
    found = {flow["proto"]: flow for flow in see.objects("firewall.Flows")}
    assert len(found) == 3
    assert found["udp"] == {
        "client": A, "proto": "udp", "from_port": 4001, "to": SERVER, "to_port": 53, "name": "", "rule": 2,
        "state": "replied", "out_packets": 3, "out_octets": 384, "in_packets": 1, "in_octets": 228,
        "age": found["udp"]["age"], "idle": found["udp"]["idle"], "outside_port": 4001}
    assert 2000 <= found["udp"]["idle"] <= found["udp"]["age"] < 4000
    assert (found["tcp"]["state"], found["tcp"]["rule"], found["tcp"]["to_port"]) == ("syn", 0, 80)
    assert (found["icmp"]["from_port"], found["icmp"]["to_port"], found["icmp"]["rule"]) == (77, 0, 3)
    assert [flow["client"] for flow in see.objects("firewall.Flows+" + A)] == [A] * 3
    assert see.objects("firewall.Flows+" + B) == []
    assert len(see.lines("firewall.Flows")) == 3


def test_counters_are_those_of_both_ends(see):
    """Octet for octet what the client's and the netvm's side sent and got."""
    a, b = see.net.client(A, RULES), see.net.client(B)
    see.net.uplink.end.frames.clear()
    before = {each["client"]: each for each in see.objects("firewall.Counters")}
    sent = {A: [0, 0], B: [0, 0], "uplink": [0, 0]}

    def send(wire, who, frame):
        wire.send(frame)
        sent[who][0] += 1
        sent[who][1] += len(frame)

    for n in range(60):
        send(a, A, udp(A, 4001, SERVER, 53, b"x" * (n * 20)))
        send(b, B, tcp(B, 4000 + n, SERVER, 80, SYN))
        send(a, A, udp(A, 4002, SERVER, 99))
    see.net.settle()
    for n in range(60):
        send(see.net.uplink, "uplink", udp(SERVER, 53, see.net.address, 4001, b"y" * (n * 20)))
        send(see.net.uplink, "uplink", udp(SERVER, 54, see.net.address, 9, b"y"))
    see.net.settle()
    after = {each["client"]: each for each in see.objects("firewall.Counters")}
    got = {A: a.end.frames, B: b.end.frames, "uplink": see.net.uplink.end.frames}
    for who in sent:
        moved = [after[who][key] - before[who][key] for key in MOVED]
        assert moved == sent[who] + [len(got[who]), sum(len(frame[0]) for frame in got[who])], who
    assert after[A]["drops"] == {"denied by the rules": 60} and after["uplink"]["drops"] == {"of no flow": 60}
    assert after[A]["hits"] == [0, 60, 1, 0, 0] and after[B]["hits"] == [60, 0]
    assert (after[A]["new_flows"], after[A]["refused"], after[B]["new_flows"]) == (1, 60, 60)
    text = "\n".join(see.lines("firewall.Counters"))
    assert "dropped, of no flow: 60" in text and "decided by rule 1: 60" in text


def test_hits_of_a_long_list_take_several_lines(see):
    net = see.net
    a = net.client(A, ["action=drop dst4=192.0.2.%d proto=udp" % (n % 200) for n in range(250)] + ["action=accept"])
    for host in (0, 150, 199, 220):
        a.send(udp(A, 1, "192.0.2.%d" % host, 2))
    net.settle()
    some = [each for each in see.objects("firewall.Counters") if each["client"] == A]
    assert [(each["first_rule"], each["more"], len(each["hits"])) for each in some] == [
        (0, True, 100), (100, True, 100), (200, False, 52)]
    hits = sum((each["hits"] for each in some), [])
    assert [n for n, hit in enumerate(hits) if hit] == [0, 150, 199, 250]
    assert some[0]["drops"] and not some[1]["drops"] and not some[2]["from_packets"]


def test_watch(see):
    a, b = traffic(see)
    call = see.call("firewall.Watch+json")
    see.machine.advance(1.5)
    for _ in range(5):
        a.send(udp(A, 4001, SERVER, 53, b"z" * 10))
    a.send(udp(A, 4009, SERVER, 53, b""))
    b.send(udp(B, 1, SERVER, 2))
    see.net.settle()
    see.machine.advance(2)
    found = see.so_far(call, "firewall.Watch")
    assert len(found) == 3 and found[0]["clients"] == [] and found[2]["clients"] == []
    moved = {each["client"]: each for each in found[1]["clients"]}
    assert moved[A] == {"client": A, "from_packets": 6, "from_octets": 5 * 52 + 42, "to_packets": 0, "to_octets": 0,
                        "flows": 4, "new_flows": 1, "refused": 0}
    assert (moved[B]["from_packets"], moved[B]["to_packets"], moved[B]["refused"]) == (1, 1, 1)
    assert found[1]["at"] - found[0]["at"] == 1000
    call.close()
    see.machine.advance(2)
    assert see.dom0.daemon.ports == {} and see.dom0.left == []


def test_watch_of_many_clients_is_cut_into_lines(see):
    for i in range(40):
        see.net.client("10.137.1.%d" % i, wait=i == 39)
    call = see.call("firewall.Watch+json")
    for wire in list(see.net.wires):
        if wire is not see.net.uplink:
            wire.send(udp(wire.address, 1, SERVER, 2))
    see.net.settle()
    see.machine.advance(1.2)
    found = see.so_far(call, "firewall.Watch")
    assert len(found) > 1 and len({each["at"] for each in found}) == 1
    moved = sorted(client["client"] for each in found for client in each["clients"])
    assert moved == sorted("10.137.1.%d" % i for i in range(40))


def test_refused(see):
    a, b = traffic(see)
    call = see.call("firewall.Refused+json")
    see.machine.advance(0.5)
    found = see.so_far(call, "firewall.Refused")
    assert found.pop() == {"now": True}
    one, two = found
    assert {key: one[key] for key in one if key not in ("first", "last")} == {
        "client": A, "proto": "udp", "to": SERVER, "to_port": 99, "name": "", "rule": 1, "why": "denied by the rules",
        "count": 4, "type": -1}
    assert (two["client"], two["rule"], two["to_port"], two["count"]) == (B, -1, 2, 1)
    b.send(tcp(B, 1, A, 22, SYN))
    see.net.settle()
    see.machine.advance(0.3)
    new, = see.so_far(call, "firewall.Refused")[3:]
    assert (new["client"], new["to"], new["proto"], new["why"]) == (B, A, "tcp", "from client to client")
    for _ in range(20):  # a row that is repeated is told once a second
        a.send(udp(A, 4002, SERVER, 99))
        see.net.settle()
        see.machine.advance(0.2)
    again = see.so_far(call, "firewall.Refused")[4:]
    assert {each["to_port"] for each in again} == {99} and 3 <= len(again) <= 5
    assert [each["count"] for each in again] == sorted({each["count"] for each in again})
    see.machine.advance(1.2)
    assert see.so_far(call, "firewall.Refused")[-1]["count"] == 24
    call.close()
    see.machine.advance(1)
    assert see.dom0.daemon.ports == {}


def test_explain(see):
    net = see.net
    net.client(A, RULES)
    net.client(B, {"policy": b"accept"})
    before = net.figures()
    asked = [
        (A, "tcp", SERVER, "80", "accept", 0, "accepted by rule 0"),
        (A, "udp", SERVER, "99", "drop", 1, "dropped by rule 1"),
        (A, "47", SERVER, None, "drop", -1, "dropped: no rule matches, and the policy is drop"),
        (A, "icmp", SERVER, "8", "accept", 3, "accepted by rule 3"),
        (A, "tcp", B, "80", "drop", -1, "dropped: from client to client"),
        (A, "tcp", "127.0.0.1", "80", "drop", -1, "dropped: destination not forwarded to"),
        (A, "tcp", A, "80", "drop", -1, "dropped: source equal to destination"),
        (A, "icmp", net.gateway, "8", "accept", -1, "accepted: the firewall answers it itself"),
        (A, "udp", net.gateway, "53", "drop", -1, "dropped: to the firewall itself"),
        (A, "icmp", SERVER, "3", "drop", -1, "dropped: ICMP type not carried"),
        (B, "tcp", SERVER, "22", "accept", -1, "accepted: no rule matches, and the policy is accept"),
    ]  # fmt: skip
    text = "".join(" ".join(word for word in row[:4] if word) + "\n" for row in asked)
    answers = see.objects("firewall.Explain", text.encode())
    assert [(each["verdict"], each["rule"], each["why"]) for each in answers] == [row[4:] for row in asked]
    assert [each["type"] for each in answers if each["proto"] == "icmp"] == [8, 8, 3]
    after = net.figures()
    assert {k: v for k, v in after.items() if k != "heap"} == {k: v for k, v in before.items() if k != "heap"}
    assert see.lines("firewall.Explain", b"%s tcp %s 80" % (A.encode(), SERVER.encode())) == [
        "%s tcp %s 80: accepted by rule 0" % (A, SERVER)]


def test_explain_agrees_with_what_happens(see):
    net = see.net
    client = net.client(A, RULES)
    for proto, port in [("tcp", 80), ("tcp", 81), ("udp", 99), ("udp", 98), ("icmp", 8)]:
        answer, = see.objects("firewall.Explain", ("%s %s %s %d" % (A, proto, SERVER, port)).encode())
        net.uplink.end.frames.clear()
        client.send({"tcp": lambda: tcp(A, 1, SERVER, port, SYN), "udp": lambda: udp(A, 1, SERVER, port),
                     "icmp": lambda: echo(A, SERVER)}[proto]())
        assert (net.uplink.recv() is not None) == (answer["verdict"] == "accept")


@pytest.mark.parametrize("line, said", [
    (b"x", "line 1: got 1 words, expected CLIENT PROTOCOL DESTINATION [PORT or TYPE]"),
    (b"10.137.0.99 tcp 192.0.2.1 80", "line 1: client: no client has the address 10.137.0.99"),
    (b"10.137.0.21 tcp 192.0.2.1", "line 1: port: got nothing, expected a number"),
    (b"10.137.0.21 tcp 192.0.2.1 65536", "line 1: port: got 65536, expected 0 to 65535"),
    (b"10.137.0.21 sctp 192.0.2.1 5", "line 1: protocol: got sctp, expected tcp, udp, icmp or a number to 255"),
    (b"10.137.0.21 47 192.0.2.1 5", "line 1: port: got 5, expected nothing: this protocol has none"),
    (b"10.137.0.21 tcp 192.0.2.256 5", "line 1: destination: got 192.0.2.256, expected an IPv4 address"),
    (b"10.137.0.21 \x1b[31m\xff 192.0.2.1 5",
     "line 1: protocol: got ??31m?, expected tcp, udp, icmp or a number to 255"),
    (b"a" * 3000, "line 1: got 1 words, expected CLIENT PROTOCOL DESTINATION [PORT or TYPE]"),
])
def test_explain_says_what_is_wrong_with_a_line(see, line, said):
    see.net.client(A, RULES)
    good = b"\n10.137.0.21 tcp 192.0.2.1 80\n"
    first, second = see.objects("firewall.Explain", line + good)
    assert first == {"error": said} and second["verdict"] == "accept"


@pytest.mark.parametrize("service, code, said", [
    ("firewall.Status+x", 2, "firewall.Status: got x, expected json"),
    ("firewall.Flows+x", 2, "firewall.Flows: got x, expected an IPv4 address"),
    ("firewall.Flows+10.137.0.21", 1, "firewall.Flows: no client has the address 10.137.0.21"),
    ("firewall.Flows+10.137.0.21+y", 2, "firewall.Flows: got y, expected the end, or json"),
    ("firewall.Watch+json+json", 2, "firewall.Watch: got json, expected json"),
    ("firewall.Counters++json", 2, "firewall.Counters: got nothing, expected json"),
    ("firewall.Refused+" + "9" * 200, 2, "firewall.Refused: got %s, expected json" % ("9" * 64)),
])
def test_an_argument_that_is_none(see, service, code, said):
    call = see.done(service, code=code)
    assert call.stderr == said + "\n" and call.stdout == b""


def dns(ident, name, address=None):
    """A question for a name's address, or its answer. name: labels as octets."""
    question = b"".join(bytes((len(label),)) + label for label in name) + b"\0" + b"\0\1\0\1"
    if address is None:
        return ident.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + question
    record = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + bytes(map(int, address.split(".")))
    return ident.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record


@pytest.mark.parametrize("name, shown", [
    ((b"www", b"example", b"org"), "www.example.org"), ((b"a\x1b[31m", b"e\"x\xff\n", b"org"), None)])
def test_names_are_what_the_client_asked_for(see, name, shown):
    """Those of others are not told, and nothing that a stranger has put into one reaches a terminal."""
    net, resolver = see.net, see.net.resolvers[0]
    rules = ("action=drop proto=tcp dstports=22-22", "action=accept")
    a, b = net.client(A, rules), net.client(B, rules)
    a.send(udp(A, 5353, resolver, 53, dns(7, name)))
    outside = int.from_bytes(net.uplink.recv()[34:36], "big")
    net.uplink.send(udp(resolver, 53, net.address, outside, dns(7, name, SERVER)))
    assert a.recv()
    see.machine.advance(1)
    for wire in (a, b):
        wire.send(tcp(wire.address, 4000, SERVER, 443, SYN))
        wire.send(tcp(wire.address, 4000, SERVER, 22, SYN))
    net.settle()
    found = {flow["client"]: flow["name"] for flow in see.objects("firewall.Flows") if flow["to"] == SERVER}
    call = see.call("firewall.Refused+json")
    see.machine.advance(0.5)
    refused = {row["client"]: row["name"] for row in see.so_far(call, "firewall.Refused")[:2]}
    assert found[B] == refused[B] == "" and found[A] == refused[A]
    if shown is None:
        assert set(found[A]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")
    else:
        assert found[A] == shown and "(%s)" % shown in " ".join(see.lines("firewall.Flows+" + A))


def test_whatever_is_asked_the_answer_is_ascii_and_the_firewall_lives(see):
    """Arguments and stdin out of a hat, from dom0 as far as its daemon lets them through."""
    a, b = traffic(see)
    draw = random.Random(12)
    words = ["json", "10.137.0.21", "uplink", "tcp", "udp", "icmp", "53", "0", "-1", "99999", "", ".", "a" * 60,
             "1.2.3.4", "10.137.0.021", "%s", "{}", "\\n", "json json", "\x7f", "'", '"']
    lines = [b"10.137.0.21 tcp 192.0.2.1 80", b"\0" * 40, b"\xff\xfe", b"10.137.0.21 icmp 1.2.3.4 -1", b"%d %s",
             b" " * 600, b""]
    names = [name for name in SERVICES if name not in ("Watch", "Refused", "Capture")]
    for n in range(150):
        argument = "+".join(draw.choice(words) for _ in range(draw.randrange(5)))
        name = draw.choice(names)
        call = see.call("firewall." + name + ("+" + argument if argument else ""),
                        b"\n".join(draw.choice(lines) for _ in range(draw.randrange(6))))
        see.machine.until(lambda: call.gone, 20, "the end of %r" % argument)
        assert call.code in (0, 1, 2, 127), (name, argument)
        said = call.stdout + call.stderr.encode("latin-1")
        assert all(0x20 <= octet < 0x7F or octet == 0x0A for octet in said), (name, argument)
        assert (call.code == 0) == (not call.stderr), (name, argument)
    for n in range(60):
        argument = "+".join(draw.choice(words) for _ in range(draw.randrange(1, 5)))
        call = see.call("firewall.%s+%s" % (draw.choice(("Watch", "Refused", "Capture")), argument))
        see.machine.advance(0.1)
        if not call.gone:
            call.close()
        see.machine.advance(0.3)
    see.machine.advance(2)
    assert see.dom0.left == [] and see.dom0.daemon.ports == {} and a.pings() and b.pings()
