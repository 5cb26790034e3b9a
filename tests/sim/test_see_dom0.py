"""dom0's qubes-firewall-top at the image itself: what it shows is what both ends of each wire have carried."""

import os
import sys

import pytest
from packets import SYN, tcp, udp
from seeing import Seeing
from test_see import RULES

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "images", "dom0"))
from qubesfirewall import draw, explain, notify, session, streams, top  # noqa: E402

WORK, CHAT, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
LISTING = (
    "NAME|STATE|CLASS|IP|NETVM|KERNEL\n"
    "sys-pyfw|Running|StandaloneVM|10.137.0.6|sys-net|python-firewall\n"
    "work|Running|AppVM|10.137.0.21|sys-pyfw|6.12\n"
    "chat|Running|AppVM|10.137.0.22|sys-pyfw|6.12\n"
)


class Source:
    """The simulated firewall's services, as calls.Qubes gives them."""

    recorded = False

    def __init__(self, see):
        self.see, self.now, self.heard = see, 0.0, {}

    def listing(self):
        return LISTING.encode()

    def call(self, qube, service, said=b""):
        assert qube == "sys-pyfw"
        return Call(self, service, said)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        """The simulated time goes on with ours."""
        self.now += max(seconds, 0.05)
        self.see.machine.advance(max(seconds, 0.05))


class Call:
    def __init__(self, source, service, said):
        self.source, self.code, self.taken = source, None, 0
        self.call = source.see.call(service, said)
        source.heard[service] = self

    def read(self, most=65536):
        said = self.call.stdout[self.taken : self.taken + most]
        self.taken += len(said)
        if not said and self.call.gone:
            self.code = self.call.code
        return bytes(said)

    @property
    def complaint(self):
        return bytes(self.call.stderr).decode("ascii", "replace")

    def end(self):
        if not self.call.gone:
            self.call.close()
            self.source.see.net.settle()


@pytest.fixture
def see(machine):
    return Seeing(machine)


def busy(see):
    """work loads something, chat is refused. Gives {client or "uplink": (wire, [packets, octets] it sent)}."""
    wires = {WORK: see.net.client(WORK), CHAT: see.net.client(CHAT, RULES), "uplink": see.net.uplink}
    sent = {who: [0, 0] for who in wires}

    def send(who, frame):
        wires[who].send(frame)
        sent[who][0] += 1
        sent[who][1] += len(frame)

    see.net.uplink.end.frames.clear()
    send(WORK, udp(WORK, 4001, SERVER, 53, b"x" * 40))
    see.net.settle()
    for n in range(20):
        send("uplink", udp(SERVER, 53, see.net.address, 4001, b"y" * (1000 + n)))
        send(CHAT, tcp(CHAT, 4000 + n, SERVER, 22, SYN))
        see.net.settle()
    return wires, sent


def test_top_once_agrees_octet_for_octet_with_both_ends_of_each_wire(see):
    before = {each["client"]: each for each in see.objects("firewall.Counters")}
    wires, sent = busy(see)
    source = Source(see)
    session = top.gather(source, [], 2, True, source.clock, source.sleep)
    (told,) = top.told(session.world, True)["firewalls"]
    assert (told["name"], told["fault"], told["not_understood"]) == ("sys-pyfw", "", 0)
    qubes = {qube["name"]: qube for qube in told["qubes"]}
    assert set(qubes) == {"work", "chat"}
    for who, found in ((WORK, qubes["work"]), (CHAT, qubes["chat"]), ("uplink", told["uplink"])):
        earlier = before.get(who, {"from_packets": 0, "from_octets": 0, "to_packets": 0, "to_octets": 0})
        got = wires[who].end.frames
        # the client's own interface and ours, frames and octets, each way
        assert [found["from_packets"] - earlier["from_packets"], found["from_octets"] - earlier["from_octets"]] == sent[
            who
        ]
        assert found["to_packets"] - earlier["to_packets"] == len(got)
        assert found["to_octets"] - earlier["to_octets"] == sum(len(frame[0]) for frame in got)
    assert qubes["chat"]["refused"] == 20 == sum(row["count"] for row in qubes["chat"]["refusals"])
    assert qubes["chat"]["drops"] == {"denied by the rules": 20} and qubes["work"]["drops"] == {}
    (flow,) = qubes["work"]["live"]
    assert (flow["to"], flow["to_port"], flow["in_packets"], flow["state"]) == (SERVER, 53, 20, "replied")
    assert see.dom0.left == []


def test_the_screen_shows_who_loads_and_who_is_refused(see):
    busy(see)
    source = Source(see)
    session = top.gather(source, [], 2, False, source.clock, source.sleep)
    text = draw.text_of(draw.draw(session.world, draw.Place(), 80, 24, ""))
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "10.137.0.21" in rows["work"] and rows["work"].split()[-1] == "-"
    assert "10.137.0.22" in rows["chat"] and rows["chat"].split()[-1] == "20"
    place = draw.Place()
    place.screen, place.who = "refused", ("sys-pyfw", CHAT)
    assert "tcp   192.0.2.50" in draw.text_of(draw.draw(session.world, place, 80, 24, ""))


def test_every_line_of_every_service_is_understood(see):
    """Two readers of one form: what the image writes and what dom0 reads differ in nothing."""
    busy(see)
    for service in ("Status", "Flows", "Counters"):
        reader = streams.Reader("firewall." + service)
        rows = reader.feed(see.done("firewall.%s+json" % service).stdout)
        assert reader.ended and not reader.strange and not reader.fault
        theirs = see.objects("firewall." + service)
        assert len(rows) == len(theirs) > 0
        for row, their in zip(rows, theirs):
            assert set(row) <= set(their), "a key that the image does not write"
            for key in row:
                if service == "Counters" or key in (
                    "client",
                    "device",
                    "to",
                    "name",
                    "rule",
                    "rules",
                    "denied",
                    "version",
                    "uplink",
                ):
                    same = {each: their[key][each] for each in row[key]} if key == "uplink" else their[key]
                    assert row[key] == same, key


def test_watch_and_refused_go_on(see):
    wires, _ = busy(see)
    source, told = Source(see), []
    watched = session.Session(source, (), heard=lambda firewall, row: told.append(row))
    for _ in range(40):
        if not watched.step(source.clock()):
            source.sleep(0.1)
    assert told == [] and watched.world.firewalls["sys-pyfw"].listening
    wires[CHAT].send(udp(CHAT, 7, SERVER, 99))
    for _ in range(40):
        if not watched.step(source.clock()):
            source.sleep(0.1)
    (row,) = told
    assert notify.Note("chat", row, 0).text() == "chat: udp 192.0.2.50:99 refused by rule 1"
    client = watched.world.firewalls["sys-pyfw"].clients[CHAT]
    assert client.refused() == 21 and watched.world.firewalls["sys-pyfw"].strange == 0
    watched.close()
    see.machine.advance(1)
    assert see.dom0.left == []


@pytest.mark.parametrize(
    "question, says", [("tcp 192.0.2.50 80", "accept"), ("udp 192.0.2.50 99", "drop"), ("icmp 192.0.2.50 8", "accept")]
)
def test_explain_asks_the_rules_in_force(see, question, says, monkeypatch):
    see.net.client(CHAT, RULES)
    see.machine.advance(1)
    source = Source(see)
    monkeypatch.setattr(explain.time, "sleep", source.sleep)
    row = explain.ask(source, "sys-pyfw", "%s %s\n" % (CHAT, question))
    assert row["verdict"] == says and row["why"]
