"""Whoever is at the other end of qrexec's channels lies, dies or does nothing: nothing is lost, others are served."""
import re
import struct

import pytest
from qrexec_dom0 import STDIN, STDOUT, hello, message
from qrexec_scenes import do, result
from vchan_peer import LEFT_PROD, RIGHT_PROD

EXEC = 0x200


def free(machine, firewall):
    do(machine, "memory")
    return int(re.findall(r"^memory (\d+)", firewall.console, re.M)[-1])


class Level:
    """What the firewall holds now; as_before(): it holds as much again, and serves."""

    def __init__(self, machine, firewall, dom0):
        self.machine, self.firewall, self.dom0 = machine, firewall, dom0
        do(machine, "memory")
        serves(machine, dom0)
        self.held, self.free = firewall.holdings(), free(machine, firewall)

    def as_before(self, slack=8000):
        self.machine.until(lambda: self.dom0.end is not None and self.dom0.daemon.agreed, 10)
        serves(self.machine, self.dom0)
        self.machine.advance(3)
        assert self.firewall.holdings() == self.held
        assert free(self.machine, self.firewall) > self.free - slack
        assert self.dom0.daemon.ports == {}


def serves(machine, dom0):
    call = dom0.call("test.Echo+9")
    call.write(b"ping")
    call.close_stdin()
    machine.settle()
    assert result(call) == (9, b"ping", "")


# ---- one call's other end


def never_there(dom0, call):
    """It offers no channel."""


def says_nothing(dom0, call):
    call.held = True
    call.offer()


def dies_before_hello(dom0, call):
    call.held = True
    call.offer()
    dom0.machine.settle()
    call.close()


def dies_in_its_hello(dom0, call):
    call.data.out[:] = hello(4)[:9]
    call.offer()
    dom0.machine.settle()
    call.close()


def dies_in_a_message(dom0, call):
    call.data.out += struct.pack("<II", STDIN, 1000) + b"x" * 500
    call.offer()
    dom0.machine.settle()
    call.close()


def dies_behind_its_stdin(dom0, call):
    call.write(b"x" * 5000)
    call.offer()
    dom0.machine.settle()
    call.close()


def says_hello_twice(dom0, call):
    call.data.out += hello(4)
    call.offer()


def says_no_hello(dom0, call):
    call.data.out[:] = message(STDIN, b"four")
    call.offer()


def says_a_long_hello(dom0, call):
    call.data.out[:] = message(0x300, bytes(8))
    call.offer()


def is_of_version_1(dom0, call):
    call.data.out[:] = hello(1)
    call.offer()


def sends_a_type_that_does_not_exist(dom0, call):
    call.data.out += bytes.fromhex("990900000100000078")
    call.offer()


def announces_4_gib(dom0, call):
    call.data.out += struct.pack("<II", STDIN, 0xFFFFFFFF)
    call.offer()


def announces_one_octet_too_many(dom0, call):
    call.data.out += struct.pack("<II", STDIN, 65537) + bytes(3000)
    call.offer()


def offers_small_rings(dom0, call):
    call.offer((10, 11))
    dom0.machine.settle()
    call.close()


def offers_rings_that_cannot_be(dom0, call):
    call.offer()
    call.end.octets[16:20] = struct.pack("<HH", 30, 3)


def offers_rings_so_large_that_clients_would_find_no_room(dom0, call):
    call.offer((17, 16))


def claims_more_than_its_ring_has(dom0, call):
    call.offer()
    dom0.machine.settle()
    call.end.words[RIGHT_PROD] = 70000
    call.end.notify()


def revokes_nothing_and_publishes_nonsense(dom0, call):
    call.offer()
    call.end.publish(ring_ref=b"no number")


OTHERS = [
    never_there, says_nothing, dies_before_hello, dies_in_its_hello, dies_in_a_message,
    dies_behind_its_stdin, says_hello_twice, says_no_hello, says_a_long_hello, is_of_version_1,
    sends_a_type_that_does_not_exist, announces_4_gib, announces_one_octet_too_many,
    offers_small_rings, offers_rings_that_cannot_be,
    offers_rings_so_large_that_clients_would_find_no_room, claims_more_than_its_ring_has,
    revokes_nothing_and_publishes_nonsense,
]  # fmt: skip


@pytest.mark.parametrize("domain", [0, 7])
@pytest.mark.parametrize("lie", OTHERS, ids=lambda lie: lie.__name__)
def test_a_caller_that_lies_costs_its_own_call(machine, qrexec, lie, domain):
    firewall, dom0 = qrexec()
    machine.peer(7)
    level = Level(machine, firewall, dom0)
    for _ in range(3):
        honest = dom0.call("test.Echo+2")
        call = dom0.call("test.Echo+0", domain=domain, offer=False)
        lie(dom0, call)
        machine.settle()
        honest.write(b"meanwhile")
        honest.close_stdin()
        machine.settle()
        assert result(honest) == (2, b"meanwhile", "")
        machine.advance(25)
        assert call.port not in dom0.daemon.ports and call.code is None
        if not call.gone:
            call.held = False
            call.close()
    level.as_before()


@pytest.mark.parametrize("kind, payload", [(STDOUT, b"x" * 1000), (STDOUT, b""), (0x192, b"y"), (0x193, bytes(4))])
def test_what_only_a_service_says_is_passed_over(machine, qrexec, kind, payload):
    firewall, dom0 = qrexec()
    call = dom0.call("test.Echo+3")
    call.data.out += message(kind, payload)
    call.write(b"and on")
    call.close_stdin()
    machine.settle()
    assert result(call) == (3, b"and on", "")


def test_callers_that_never_read(machine, qrexec):
    """Eight of them, while others come: each stops its own service, and loses its place when it is needed."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    machine.peer(7)
    deaf = [dom0.call("test.Zeros+100000000", domain=7, held=True) for _ in range(7)]
    machine.settle()
    for call in deaf:
        call.greet()
    machine.settle()
    machine.advance(300)
    assert all(not call.gone and call.end.ready() > 60000 for call in deaf)
    serves(machine, dom0)
    for _ in range(3):  # who comes first ends one of those who have made us wait for 20 s; the others have its place
        other = dom0.call("test.Who", domain=7, source="work")
        machine.advance(4)
        assert other.stdout.startswith(b"test.Who")
        assert sum(not call.end.peer_lives() for call in deaf) == 1
    for call in deaf:
        call.held = False
        call.close()
    machine.settle()
    level.as_before()


def test_a_caller_that_reads_slowly_is_waited_for(machine, qrexec):
    firewall, dom0 = qrexec()
    call = dom0.call("test.Zeros+200000", held=True)
    machine.settle()
    call.greet()
    machine.settle()
    while call.code is None and len(call.stdout) < 200000:
        machine.advance(590)
        call.data.feed(call.end.read(30000))
        machine.settle()
    call.held = False
    machine.settle()
    assert call.code == 0 and len(call.stdout) == 200000


def test_a_caller_that_reads_nothing_for_ten_minutes_is_left(machine, qrexec):
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    call = dom0.call("test.Zeros+200000", held=True)
    machine.settle()
    call.greet()
    machine.advance(595)
    assert dom0.daemon.ports
    machine.advance(10)
    assert not dom0.daemon.ports and firewall.lines("nothing from the caller for 60")
    call.held = False
    machine.settle()
    level.as_before()


# ---- the control channel


def test_100_requests_at_once(machine, qrexec):
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    calls = [dom0.call("test.Echo+%d" % i, offer=False) for i in range(100)]
    for call in calls:
        call.offer((12, 12))
        call.close_stdin()
    machine.settle()
    assert [call.code for call in calls] == list(range(100))
    level.as_before()


def test_250_requests_whose_channels_never_come(machine, qrexec):
    """Those that cannot be served are given back to dom0 within its own patience; what comes then is served at once."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    machine.peer(7)
    for round in range(3):
        calls = [dom0.call("test.Echo", domain=7 * (i % 2), offer=False) for i in range(250)]
        machine.settle()
        machine.advance(13)
        assert dom0.daemon.ports == {}
        serves(machine, dom0)
        for call in calls:
            call.close()
    assert len(firewall.lines("qrexec: ")) < 200  # nobody fills the log
    level.as_before()


@pytest.mark.parametrize("n", [100, 2000])
def test_a_daemon_that_never_reads(machine, qrexec, n):
    """Nothing more is taken of it than can be answered."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    dom0.deaf = True
    for i in range(n):  # a daemon that has lost count
        dom0.daemon.params(EXEC, 0, 513 + i % 256, b"user:QUBESRPC test.Echo dom0")
    machine.advance(30)
    assert free(machine, firewall) > level.free - 100000
    dom0.deaf = False
    machine.settle()
    machine.advance(30)
    dom0.daemon.ports.clear()
    assert dom0.daemon.stray
    dom0.daemon.stray.clear()
    level.as_before()


def junk_type(daemon):
    daemon.out += bytes.fromhex("990900000100000078")


def junk_types(daemon):
    for kind in range(0x1F0, 0x220):
        if kind not in (0x200, 0x201, 0x202, 0x203):
            daemon.out += message(kind, b"x" * kind)


def second_hello(daemon):
    daemon.out += hello(3)


def short_exec(daemon):
    for n in range(9):
        daemon.out += message(EXEC, bytes(n))


def ports_that_dom0_never_gives_out(daemon):
    for port in (0, 111, 512, 769, 65536 + 513, 0xFFFFFFFF):
        daemon.params(EXEC, 0, port, b"user:QUBESRPC test.Echo dom0")
        daemon.params(0x202, 0, port, b"firewall-1")


def domains_that_cannot_be(daemon):
    for i, domain in enumerate((2, 0x7FF0, 0x7FF4, 65535, 0xFFFFFFFF)):
        daemon.ports[600 + i] = domain
        daemon.params(EXEC, domain, 600 + i, b"user:QUBESRPC test.Echo dom0")


def connects_what_nobody_asked_for(daemon):
    daemon.ports[600] = 0
    daemon.params(0x202, 0, 600, b"firewall-77")
    daemon.out += message(0x203, b"firewall-77".ljust(32, b"\0")) + message(0x203, b"") + message(0x203, b"\xff" * 500)


@pytest.mark.parametrize("lie", [
    junk_type, junk_types, second_hello, short_exec, ports_that_dom0_never_gives_out, domains_that_cannot_be,
    connects_what_nobody_asked_for,
], ids=lambda lie: lie.__name__)  # fmt: skip
def test_what_means_nothing_is_passed_over(machine, qrexec, lie):
    """The channel stays. And whatever it was, nothing is said of it that would make dom0's daemon exit."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    end = dom0.end
    lie(dom0.daemon)
    machine.advance(15)
    assert dom0.end is end
    level.as_before()


def announces_4_gib_to_us(dom0):
    dom0.daemon.out += struct.pack("<II", EXEC, 0xFFFFFFFF)


def one_octet_too_many(dom0):
    dom0.daemon.out += struct.pack("<II", 0x999, 65545)


def ring_overrun(dom0):
    dom0.end.words[LEFT_PROD] = 9000
    dom0.end.notify()


@pytest.mark.parametrize("lie", [announces_4_gib_to_us, one_octet_too_many, ring_overrun], ids=lambda lie: lie.__name__)
def test_behind_nonsense_there_is_another_channel(machine, qrexec, lie):
    """dom0's daemon is the same, and still knows the ports that it gave out: it hears when their calls end."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    for _ in range(3):
        call = dom0.call("test.Echo+1")
        machine.settle()
        lie(dom0)
        machine.settle()
        call.close_stdin()
        machine.settle()
        assert call.code == 1 and call.port in dom0.daemon.ports
        machine.until(lambda: dom0.end is not None and dom0.daemon.agreed, 10)
        machine.settle()
        assert call.port not in dom0.daemon.ports
    level.as_before()


@pytest.mark.parametrize("first", [
    hello(1), hello(0), message(0x300, bytes(5)), message(0x211, bytes(8)), bytes(8), hello(4)[:7]])
def test_a_hello_that_is_none(machine, qrexec, first):
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    dom0.held = True
    dom0.end.close()
    dom0.end = None
    machine.advance(1)
    dom0._connect()
    dom0.end.write(first)
    machine.settle()
    assert dom0.end.peer_lives() == (len(first) == 7)
    dom0.end.close()
    dom0.end = None
    dom0.held = False
    machine.advance(10)
    level.as_before()


@pytest.mark.parametrize("at", range(0, 160, 7))
def test_a_daemon_that_dies_after_any_octet(machine, qrexec, at):
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    calls = [dom0.call("test.Echo+1") for _ in range(3)]
    stream = bytes(dom0.daemon.out)
    del dom0.daemon.out[:]
    dom0.daemon.out += stream[:at]
    machine.settle()
    dom0.restart()
    for call in calls:
        call.close_stdin()
    machine.settle()
    machine.advance(12)
    for call in calls:
        if call.code is None:
            call.close()
    level.as_before()


def test_a_daemon_that_comes_and_goes_200_times(machine, qrexec):
    firewall, dom0 = qrexec()
    for round in range(3):
        for i in range(100):
            call = dom0.call("test.Wait+%d" % (i % 3 * 100))
            if i % 2:
                machine.settle()
            dom0.restart()
            machine.until(lambda: dom0.end is not None and dom0.daemon.agreed, 10)
            if not call.came:
                call.close()
        machine.advance(15)
        if not round:
            level = Level(machine, firewall, dom0)
    level.as_before(500)


# ---- services that we call


def dies_before_its_hello(dom0, side):
    side.data.out.clear()
    dom0.machine.settle()
    side.close()


def dies_in_its_answer(dom0, side):
    side.data.out += struct.pack("<II", STDOUT, 100) + b"x"
    dom0.machine.settle()
    side.close()


def answers_nonsense(dom0, side):
    side.data.out += struct.pack("<II", 0x999, 100)


def answers_4_gib(dom0, side):
    side.data.out += struct.pack("<II", STDOUT, 0xFFFFFFFF)


def asks_instead(dom0, side):
    side.data.out += struct.pack("<II", STDIN, 5) + b"where"
    dom0.machine.settle()
    side.close()


@pytest.mark.parametrize("domain", [0, 7])
@pytest.mark.parametrize("lie", [
    dies_before_its_hello, dies_in_its_answer, answers_nonsense, answers_4_gib, asks_instead,
], ids=lambda lie: lie.__name__)  # fmt: skip
def test_a_service_that_lies(machine, qrexec, lie, domain):
    firewall, dom0 = qrexec()
    machine.peer(7)
    level = Level(machine, firewall, dom0)
    dom0.policy = lambda trigger: domain
    for i in range(6):
        do(machine, "call qubes.Test %d" % i)
        lie(dom0, dom0.served[-1])
        machine.settle()
        assert len(firewall.lines("result 125")) == i + 1
    level.as_before()


def test_services_that_never_come(machine, qrexec):
    """Four at a time; the fifth call is told so. After two minutes dom0 has its ports back."""
    firewall, dom0 = qrexec()
    level = Level(machine, firewall, dom0)
    dom0.policy = lambda trigger: 0

    def decide(trigger):
        dom0.daemon.triggers.remove(trigger)
        dom0.daemon.allow(trigger, 0)
    dom0._decide = decide
    for i in range(4):
        do(machine, "call qubes.Test %d" % i)
    assert not firewall.lines("result") and len(dom0.daemon.ports) == 4
    do(machine, "call qubes.Test more")
    assert firewall.lines("result") == ["result 125 0 b''"]
    machine.advance(121)
    assert len(firewall.lines("result 125")) == 5
    level.as_before()
