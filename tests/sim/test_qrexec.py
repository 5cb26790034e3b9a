"""The qrexec agent in the simulated Xen: dom0's daemon and the callers over shared memory."""
import struct

import pytest
from qrexec_dom0 import EXIT_CODE, STDERR, STDIN, STDOUT, TRIGGER_SERVICE, TRIGGER_SERVICE3
from qrexec_scenes import do, result
from qrexec_server import Dom0


def test_a_service_and_its_exit_code(machine, qrexec):
    firewall, dom0 = qrexec()
    call = dom0.call("qubes.WaitForSession")
    machine.settle()
    assert result(call) == (0, b"", "") and call.gone and call.at_end == {STDOUT, STDERR}
    assert dom0.daemon.terminated == [(0, call.port)] and dom0.daemon.ports == {}


@pytest.mark.parametrize("version", [2, 3, 4])
def test_stdin_to_stdout_in_chunks_of_the_version(machine, qrexec, version):
    firewall, dom0 = qrexec(version=version)
    call = dom0.call("test.Echo+7", version=version)
    sent = bytes(range(256)) * 1000
    call.write(sent)
    call.close_stdin()
    machine.settle()
    assert result(call) == (7, sent, "")
    zeros = dom0.call("test.Zeros+300000", version=version)
    machine.settle()
    assert result(zeros) == (0, bytes(300000), "")
    assert zeros.largest == (4096 if version == 2 else 65536)


@pytest.mark.parametrize("version, echo, agreed", [
    (2, False, 2), (3, False, 3), (4, False, 4), (9, False, 4), (3, True, 4)])
def test_versions_of_the_control_channel(machine, qrexec, version, echo, agreed):
    """echo: as daemons do that say back what the agent said: what it is by itself shows nowhere."""
    firewall, dom0 = qrexec(version=version, echo=echo)
    assert firewall.lines("dom0 is connected, version %d" % agreed)
    dom0.policy = lambda trigger: 0
    do(machine, "call qubes.Test dom0")
    assert [side.trigger.service for side in dom0.served] == ["qubes.Test"]
    dom0.served[0].exit(0)
    machine.settle()
    assert firewall.lines("result") == ["result 0 0 b''"]


def test_a_hello_that_comes_octet_by_octet(machine):
    dom0 = Dom0(machine)
    dom0.held = True
    firewall = machine.firewall("run=try_qrexec")
    dom0.piece = 1

    def pieces(n):
        for _ in range(n):
            dom0.held = False
            dom0._serve()
            dom0.held = True
            machine.settle()
    pieces(20)
    call = dom0.call("test.Echo+1")
    call.close_stdin()
    pieces(100)
    assert firewall.lines("dom0 is connected, version 4")
    assert call.code == 1 and dom0.left == []


def test_the_words_of_a_call(machine, qrexec):
    firewall, dom0 = qrexec()
    for command, who in (
        ("user:QUBESRPC test.Who+a+b work", b"test.Who|a+b|work|test.Who+a+b"),
        ("user:QUBESRPC test.Who dom0", b"test.Who||dom0|test.Who"),
        ("root:nogui:QUBESRPC test.Who+ dom0 name fw", b"test.Who||dom0|test.Who"),
        ("DEFAULT:QUBESRPC test.Who", b"test.Who|||test.Who"),
        ("user:QUBESRPC test.Who+\x1b[2J% work", b"test.Who|\x1b[2J%|work|test.Who+\\x1b\\x5b2J\\x25"),
    ):
        call = dom0.command(command)
        machine.settle()
        assert result(call) == (0, who, ""), command


@pytest.mark.parametrize("command, words", [
    ("user:tar xf -", "UpdateVM"), ("user:QUBESRPC", "UpdateVM"), ("user", "UpdateVM"), ("", "UpdateVM"),
    ("root:/usr/lib/qubes/qubes-download-dom0-updates.sh --doit", "UpdateVM"),
    ("user:QUBESRPC qubes.VMShell dom0", "qubes.VMShell: no such service"),
    ("user:QUBESRPC qubes.VMShell+WaitForSession dom0", "no such service"),
    ("user:QUBESRPC qubes.ResizeDisk+xvda dom0", "no such service"),
    ("user:QUBESRPC qubes.NoSuch+x\ty dom0", "qubes.NoSuch+x\\x09y: no such service"),
    ("user:QUBESRPC  dom0", "UpdateVM"), ("user:QUBESRPC +x dom0", "UpdateVM"),
    ("user:QUBESRPC qubes.WaitForSession\xff dom0", "UpdateVM"),
    ("user:QUBESRPC test.Echo+%s dom0" % ("1" * 2000), "UpdateVM"),
    ("user:" + "x" * 65000, "UpdateVM"),
])
def test_what_we_have_not_is_said_and_127(machine, qrexec, command, words):
    firewall, dom0 = qrexec()
    call = dom0.command(command)
    machine.settle()
    assert call.code == 127 and call.stdout == b"" and words in call.stderr
    just = dom0.command(command, just=True)
    machine.settle()
    assert result(just) == (127, b"", "") and just.at_end == set()
    assert dom0.daemon.ports == {}


@pytest.mark.parametrize("name", [
    "qubes.WaitForSession", "qubes.WaitForRunningSystem", "qubes.SetGuiMode", "qubes.SetAudioVM+7",
    "qubes.SuspendPre", "qubes.SuspendPreAll", "qubes.SuspendPost", "qubes.SuspendPostAll",
])
def test_what_dom0_expects_of_any_qube_is_0_at_once(machine, qrexec, name):
    firewall, dom0 = qrexec()
    for full in (name, name + "+") if "+" not in name else (name,):
        call, just = dom0.call(full), dom0.call(full, just=True)
        machine.settle()
        assert result(call) == result(just) == (0, b"", "")


def test_monitor_layout_and_date_are_read_first(machine, qrexec):
    firewall, dom0 = qrexec()
    layout, date = dom0.call("qubes.SetMonitorLayout"), dom0.call("qubes.SetDateTime")
    machine.advance(1)
    assert layout.code is None and date.code is None
    layout.write(b"1920 1080 0 0\n" * 1000)
    date.write(b"2015-07-31T16:10:43")
    machine.settle()
    date.write(b"+0000\n")
    machine.settle()
    assert date.code == 0 and layout.code is None
    layout.close_stdin()
    machine.settle()
    assert layout.code == 0
    long = dom0.call("qubes.SetDateTime")
    long.write(b"x" * 100000)
    machine.settle()
    assert long.code == 0


def test_the_uplink_is_waited_for(machine, qrexec):
    """0 as soon as it is there, and in time in any case: for anything else dom0 kills the netvm."""
    firewall, dom0 = qrexec()
    call = dom0.call("qubes.WaitForNetworkUplink")
    began = machine.now
    machine.until(lambda: call.code is not None, 10)
    assert call.code == 0 and 7e9 < machine.now - began <= 8e9
    do(machine, "up 1")
    call = dom0.call("qubes.WaitForNetworkUplink")
    machine.settle()
    assert call.code == 0
    do(machine, "up 0")
    call = dom0.call("qubes.WaitForNetworkUplink")
    machine.advance(3)
    assert call.code is None
    do(machine, "up 1")
    machine.advance(0.2)
    assert call.code == 0


def test_8_at_once_and_the_rest_waits_its_turn(machine, qrexec):
    firewall, dom0 = qrexec()
    calls = [dom0.call("test.Wait+%d" % (500 + 100 * i)) for i in range(20)]
    machine.settle()
    assert sum(call.came for call in calls) == 8
    for code in (3,):
        machine.until(lambda: all(call.code == code for call in calls), 10)
    assert dom0.daemon.ports == {} and len(dom0.daemon.terminated) == 20


def test_eight_end_each_with_its_own_code(machine, qrexec):
    firewall, dom0 = qrexec()
    calls = [dom0.call("test.Echo+%d" % i) for i in range(8)]
    machine.settle()
    assert all(call.came for call in calls)
    for i in (3, 1, 7, 0, 5, 2, 6, 4):
        calls[i].write(b"%d" % i)
        calls[i].close_stdin()
    machine.settle()
    assert [(call.code, call.stdout) for call in calls] == [(i, b"%d" % i) for i in range(8)]


@pytest.mark.parametrize("who", ["others", "lasting"])
def test_a_place_is_kept_for_what_dom0_asks(machine, qrexec, who):
    """Whatever other domains do, and however many look at us: the suspend of the host does not wait."""
    firewall, dom0 = qrexec()
    machine.peer(7)
    if who == "others":
        calls = [dom0.call("test.Wait+9000", domain=7) for _ in range(20)]
    else:
        calls = [dom0.call("firewall.Wait+9000") for _ in range(20)]
    machine.settle()
    assert sum(call.came for call in calls) == 7
    for name in ("qubes.SuspendPreAll", "qubes.SuspendPostAll"):
        call = dom0.call(name)
        machine.settle()
        assert call.code == 0


def test_a_caller_in_another_domain(machine, qrexec):
    firewall, dom0 = qrexec()
    machine.peer(7)
    call = dom0.call("test.Who", domain=7, source="work")
    machine.settle()
    assert result(call) == (0, b"test.Who||work|test.Who", "")
    assert dom0.daemon.terminated == [(7, call.port)]


def test_the_caller_offers_its_channel_late(machine, qrexec):
    firewall, dom0 = qrexec()
    call = dom0.call("test.Echo+2", offer=False)
    machine.advance(4)
    call.offer()
    call.close_stdin()
    machine.settle()
    assert call.code == 2


def test_what_a_service_raises_costs_its_call(machine, qrexec):
    firewall, dom0 = qrexec()
    call = dom0.call("test.Fail")
    machine.settle()
    assert call.code == 1 and "KeyError: oh" in call.stderr and firewall.lines("test.Fail: KeyError")


def test_a_service_that_never_looks_is_ended_when_its_caller_is_gone(machine, qrexec):
    firewall, dom0 = qrexec()
    call = dom0.call("test.Sleep")
    machine.advance(100)
    assert call.code is None
    call.close()
    machine.advance(13)
    assert firewall.lines("cancelled") and dom0.daemon.ports == {}


def test_dom0s_daemon_comes_again(machine, qrexec):
    """Calls go on; their ports are not of the new daemon, which therefore hears nothing of them."""
    firewall, dom0 = qrexec()
    for _ in range(3):
        call = dom0.call("test.Echo+4")
        machine.settle()
        dom0.restart()
        machine.until(lambda: dom0.daemon.agreed)
        call.close_stdin()
        machine.settle()
        assert call.code == 4 and dom0.daemon.ports == {}
        again = dom0.call("qubes.WaitForSession")
        machine.settle()
        assert again.code == 0
    assert dom0.daemon.stray == []


def test_a_pause_of_hours_ends_no_call(machine, qrexec):
    """A caller that did not read when the host went to sleep may read on when it wakes."""
    firewall, dom0 = qrexec()
    call = dom0.call("test.Zeros+1000000", held=True)
    machine.settle()
    call.greet()
    machine.advance(2)
    for just in (False, True):
        dom0.call("qubes.SuspendPreAll", just=just)
        machine.pause(7200)
        dom0.call("qubes.SuspendPostAll", just=just)
        machine.advance(5)
    call.held = False
    machine.settle()
    assert len(call.stdout) == 1000000 and call.code == 0


# ---- calls that we make


def test_we_call_with_stdin_and_get_the_answer(machine, qrexec):
    firewall, dom0 = qrexec()
    dom0.policy = lambda trigger: 0
    do(machine, "call qubes.Test+a dom0 some words")
    side = dom0.served[0]
    assert (side.trigger.service, side.trigger.target, side.stdin) == ("qubes.Test+a", "dom0", b"some words")
    assert side.at_end == {STDIN}
    side.write(b"answer" * 1000)
    side.exit(3)
    machine.settle()
    assert firewall.lines("result")[0].startswith("result 3 4096 b'answer")
    assert dom0.daemon.ports == {}


def test_a_call_refused_and_one_without_dom0(machine, qrexec):
    firewall, dom0 = qrexec()
    do(machine, "call qubes.Test dom0")
    assert firewall.lines("result") == ["result 126 0 b''"]
    do(machine, "open qubes.Test dom0")
    assert firewall.lines("not opened: Refused")
    dom0.held = True
    dom0.end.close()
    dom0.end = None
    machine.settle()
    do(machine, "call qubes.Test dom0")
    assert firewall.lines("result")[1:] == ["result 125 0 b''"]
    dom0.held = False


def test_dom0_goes_while_it_decides(machine, qrexec):
    firewall, dom0 = qrexec()
    asked = []
    dom0._decide = lambda trigger: (asked.append(trigger), dom0.daemon.triggers.remove(trigger))
    do(machine, "call qubes.Test dom0")
    assert len(asked) == 1 and not firewall.lines("result")
    dom0.restart()
    machine.settle()
    assert firewall.lines("result") == ["result 125 0 b''"]


def test_an_open_call_reads_and_writes(machine, qrexec):
    firewall, dom0 = qrexec()
    dom0.policy = lambda trigger: 0
    do(machine, "up 0")
    held = firewall.holdings()
    do(machine, "open qubes.Test dom0")
    assert firewall.lines("opened")
    side = dom0.served[0]
    for i in range(20):
        side.write(b"%d" % i * 1000)
        machine.settle()
        machine.advance(300)  # nothing says that it has to be soon
        assert side.stdin.endswith(b"%d" % i * 1000)
    side.exit(5)
    machine.settle()
    assert firewall.lines("exit code 5") and dom0.daemon.ports == {}
    machine.advance(5)
    assert firewall.holdings() == held


def test_a_service_in_another_domain_that_dies(machine, qrexec):
    firewall, dom0 = qrexec()
    machine.peer(7)
    dom0.policy = lambda trigger: 7
    do(machine, "open qubes.Test @default")
    assert firewall.lines("opened")
    dom0.served[0].close()
    machine.settle()
    assert firewall.lines("ended") and dom0.daemon.ports == {}
    do(machine, "call qubes.Test @default")
    dom0.served[1].close()
    machine.settle()
    assert firewall.lines("result") == ["result 125 0 b''"]


def test_a_service_that_ends_without_reading(machine, qrexec):
    """It is gone before we have written: what it said, and its exit code, can be read all the same."""
    firewall, dom0 = qrexec()
    dom0.policy = lambda trigger: 0
    decide = dom0._decide

    def answered(trigger):
        """All at once, when our HELLO has come."""
        decide(trigger)
        side = dom0.served[-1]
        said, side.data.out, serve = side.data.out, bytearray(), side.serve

        def last():
            did = serve()
            if side.agreed:
                side.data.out = said
                side.write(b"answer")
                side.exit(3)
                serve()
                side.close()
            return did

        side.serve = last

    dom0._decide = answered
    for words in ("", " some words"):
        do(machine, "call qubes.Test dom0" + words)
        assert firewall.lines("result")[-1] == "result 3 6 b'answer'"
        assert dom0.served[-1].stdin == b""
    assert dom0.daemon.ports == {}


def test_an_exit_code_cut_short(machine, qrexec):
    firewall, dom0 = qrexec()
    dom0.policy = lambda trigger: 0
    for payload, code in ((b"", 255), (b"\1\2", 255), (struct.pack("<I", 300), 300)):
        do(machine, "call qubes.Test dom0")
        dom0.served[-1].send(EXIT_CODE, payload) if payload else dom0.served[-1].finish(EXIT_CODE)
        machine.settle()
        assert firewall.lines("result")[-1] == "result %d 0 b''" % code
        dom0.served[-1].close()


def test_the_trigger_is_the_versions(machine, qrexec):
    firewall, dom0 = qrexec(version=2)
    kinds = []
    check = dom0.daemon.messages.check
    dom0.daemon.messages.check = lambda kind, length: (kinds.append(kind), check(kind, length))
    do(machine, "call qubes.Test dom0")
    assert kinds[0] == TRIGGER_SERVICE and TRIGGER_SERVICE3 not in kinds


# ---- turns

_STREAM = """
import asyncio, loop, supervisor, xen
from firewall.qubes import qrexec
from firewall.qubes.stream import Stream

class Endless:
    "A peer that reads and writes as fast as we do."
    name = "endless"
    message = qrexec.header(qrexec.STDOUT, 0)

    def take(self, limit):
        return self.message[:limit]

    def put(self, octets, start=0):
        return len(octets) - start

turns = 0

async def others():
    global turns
    while True:
        turns += 1
        await asyncio.sleep_ms(0)

async def main():
    stream = Stream(Endless())
    asyncio.create_task(others())
    for _ in range(100):
        await stream.receive(100)
    read = turns
    await stream.send(qrexec.STDOUT, bytes(4096 * 100))
    print("turns", read, turns - read)
    xen.shutdown(xen.POWEROFF)

supervisor.spawn("main", main, supervisor.LINK)
loop.run()
"""


def test_a_peer_as_fast_as_we_are_takes_no_turn_of_others(machine, run):
    read, sent = map(int, run(machine, _STREAM).lines("turns")[0].split()[1:])
    assert read >= 99 and sent >= 99
