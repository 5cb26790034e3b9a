"""The loop's rounds in machine code, as plain Python: ways out, which events are told, when it sleeps, its times."""
import kernels
import pytest

PYTHON, TIME, LONG, RAN = -1, -2, -3, -4
NOTHING, MORE = 0, 1
FOR_EVER = 10**18  # a gap
START = 3 << 32 | 5  # ns of xen.own(): two words
STOLEN = 1 << 33  # Xen has given so much to others: xen.ns() less xen.own()


class Asleep(Exception):
    """It sleeps, and nothing is to come any more."""


class Scene:
    """A round of the service is (what it says, ns that it takes, ports whose events come meanwhile), or its first.

    events: ports that have some at the beginning. naps: of sleeps, one after the other: (ns, ports that end it); what
    is pending ends one at once. The ports 3, 4, 5 and those from 100 on are quiet. began, ended: ns before START.
    """

    def __init__(self, *rounds, events=(), naps=(), began=0, ended=0):
        self.rounds = [each if isinstance(each, tuple) else (each, 0, ()) for each in rounds]
        self.pending, self.naps, self.calls = list(events), list(naps), []
        self.now = START
        self.ports = [0] * 256
        self.quiet = [port in (3, 4, 5) or port >= 100 for port in range(4096)]
        self.times = kernels.Words(4 * [0])
        for at, ns in ((0, START - began), (2, START - ended)):
            self.times[at], self.times[at + 1] = ns, ns >> 32
        self.tables = [self._pending, self.ports, self.quiet, lambda: self.now, lambda: self.now + STOLEN, self._sleep,
                       self.times, self._serve, "tables"]

    def run(self, until=None, limit=0, longest=FOR_EVER):
        self.limit = limit
        return kernels.of("rounds", kernels.PORT).run(self.tables, until, limit, longest)

    def _pending(self, ports):
        assert ports is self.ports
        self.calls.append("pending")
        taken, self.pending = self.pending[:256], self.pending[256:]
        ports[: len(taken)] = taken
        return len(taken)

    def _serve(self, tables):
        assert tables == "tables"
        self.calls.append("serve")
        said, ns, ports = self.rounds.pop(0)
        self.now += ns
        self.pending += ports
        return said

    def _sleep(self, until):
        self.calls.append(("sleep", until))
        if not self.pending:
            if not self.naps:
                raise Asleep
            ns, ports = self.naps.pop(0)
            self.now += ns
            self.pending += ports
        return -1 - self.now if self.limit and self.now + STOLEN >= self.limit else self.now  # as xen.sleep()

    def began(self):
        return self.times[0] | self.times[1] << 32

    def ended(self):
        return self.times[2] | self.times[3] << 32


def test_the_loop_knows_what_is_said_by_these_names():
    rounds = kernels.of("rounds", kernels.PORT)
    assert (rounds.PYTHON, rounds.TIME, rounds.LONG, rounds.RAN) == (PYTHON, TIME, LONG, RAN)


@pytest.mark.parametrize("how", [PYTHON, RAN])
def test_what_the_service_leaves_to_python_is_told_at_once(how):
    scene = Scene((how, 70, ()))
    assert scene.run() == how and scene.calls == ["pending", "serve"]
    assert (scene.began(), scene.ended()) == (START, START + 70)


@pytest.mark.parametrize("how", [PYTHON, RAN])
def test_what_it_says_goes_before_the_time_and_the_length_of_the_round(how):
    scene = Scene((how, 70, ()))
    assert scene.run(7, START, 60) == how


def test_while_there_may_be_more_it_does_not_sleep():
    scene = Scene((MORE, 10, ()), (MORE, 20, ()), (PYTHON, 5, ()))
    assert scene.run() == PYTHON and scene.calls == ["pending", "serve"] * 3
    assert (scene.began(), scene.ended()) == (START + 30, START + 35)


def test_when_there_is_nothing_it_sleeps_and_looks_again():
    until = object()
    scene = Scene((NOTHING, 10, ()), (NOTHING, 10, ()), (RAN, 3, ()), naps=[(500, [3]), (600, [])])
    assert scene.run(until) == RAN
    assert scene.calls == ["pending", "serve", ("sleep", until)] * 2 + ["pending", "serve"]
    assert (scene.began(), scene.ended()) == (START + 10 + 500 + 10 + 600, START + 10 + 500 + 10 + 600 + 3)


def test_what_it_slept_is_no_gap():
    """Nor is it part of one that a port ends."""
    scene = Scene((NOTHING, 10, ()), naps=[(10**12, [7])])
    assert scene.run(longest=50) == 1
    assert scene.began() == scene.ended() == START + 10 + 10**12


@pytest.mark.parametrize("events", [[3], [5, 4, 3], [100], [4095], list(range(100, 356))])
def test_events_of_quiet_ports_are_not_told(events):
    scene = Scene(MORE, PYTHON, events=events)
    assert scene.run() == PYTHON and scene.calls == ["pending", "serve"] * 2


MANY = list(range(100, 355))


@pytest.mark.parametrize("events, n", [
    ([0], 1), ([7], 1), ([99], 1), ([3, 7], 2), ([7, 3], 2), ([3, 7, 4], 3), ([2, 6], 2), (MANY + [6], 256),
    ([6] + MANY, 256),
])
def test_events_of_others_are_told_with_all_that_were_taken(events, n):
    scene = Scene(events=events)
    assert scene.run() == n and scene.calls == ["pending"] and scene.ports[:n] == events
    assert (scene.began(), scene.ended()) == (START, START)


def test_of_more_ports_than_are_taken_at_once_the_others_are_looked_at_in_the_next_round():
    scene = Scene(NOTHING, events=list(range(100, 356)) + [9])
    assert scene.run() == 1 and scene.calls == ["pending", "serve", ("sleep", None), "pending"]
    assert scene.ports[0] == 9


def test_what_was_taken_before_is_not_told_again():
    """Behind the ports of this round stand those of an earlier one."""
    scene = Scene(MORE, MORE, events=[3, 4, 5])
    scene.ports[3] = 7
    scene.rounds.append((PYTHON, 0, ()))
    assert scene.run() == PYTHON and scene.calls.count("serve") == 3


@pytest.mark.parametrize("port, n", [(3, PYTHON), (7, 1)])
def test_an_event_after_the_ports_were_taken_ends_the_sleep_at_once(port, n):
    scene = Scene((NOTHING, 10, [port]), PYTHON)
    assert scene.run() == n
    assert scene.calls == ["pending", "serve", ("sleep", None), "pending", "serve"][: 5 if n == PYTHON else 4]
    assert n < 0 or scene.ports[0] == port


@pytest.mark.parametrize("port, n", [(3, PYTHON), (7, 1)])
def test_an_event_that_ends_the_sleep_is_taken(port, n):
    scene = Scene(NOTHING, PYTHON, naps=[(9, [port])])
    assert scene.run() == n and (n < 0 or scene.ports[0] == port)


def test_an_event_while_there_is_more_to_do_is_told_before_the_next_round():
    scene = Scene((MORE, 10, [3, 7]))
    assert scene.run() == 2 and scene.calls == ["pending", "serve", "pending"] and scene.ports[:2] == [3, 7]


def test_without_a_limit_it_goes_on_for_ever():
    scene = Scene(*[(MORE, 10**9, ())] * 50, NOTHING)
    with pytest.raises(Asleep):
        scene.run()
    assert scene.calls.count("serve") == 51


@pytest.mark.parametrize("limit, rounds", [(0, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_the_limit_ends_it_behind_a_round(limit, rounds):
    """Even one that is long over: whoever is always busy gets one round. It is a time of xen.ns()."""
    scene = Scene((MORE, 10, ()), (MORE, 10, ()), (MORE, 10, ()))
    assert scene.run("until", START + STOLEN + limit) == TIME
    assert scene.calls == ["pending", "serve"] * rounds
    assert (scene.began(), scene.ended()) == (START + 10 * rounds - 10, START + 10 * rounds)


def test_the_limit_ends_it_behind_a_sleep():
    scene = Scene(NOTHING, NOTHING, naps=[(99, [3]), (1, [])])
    assert scene.run("until", START + STOLEN + 100) == TIME
    assert scene.calls == ["pending", "serve", ("sleep", "until")] * 2
    assert scene.began() == scene.ended() == START + 100


def test_events_at_the_limit_stay_pending():
    """Python takes them."""
    scene = Scene((NOTHING, 5, [7]))
    assert scene.run("until", START + STOLEN + 5) == TIME and scene.pending == [7]


@pytest.mark.parametrize("began, n", [(50, PYTHON), (51, 0), (1 << 32, 0)])
def test_a_gap_longer_than_the_longest_is_pythons_before_the_round(began, n):
    """It began before: the step of a task is in it."""
    scene = Scene(PYTHON, began=began)
    assert scene.run(longest=50) == n and scene.calls == ["pending", "serve"][: 1 if n == 0 else 2]
    assert scene.began() == (START if n else START - began)


@pytest.mark.parametrize("taken", [[], [3], [3, 4]])
def test_the_ports_taken_with_it_are_told(taken):
    scene = Scene(began=51, events=taken)
    assert scene.run(longest=50) == len(taken)


@pytest.mark.parametrize("ns, how", [(50, PYTHON), (51, LONG)])
def test_a_round_longer_than_the_longest_gap_is_told_before_it_sleeps(ns, how):
    scene = Scene((NOTHING, ns, ()), PYTHON, naps=[(1, [3])])
    assert scene.run(longest=50) == how and (("sleep", None) in scene.calls) == (how == PYTHON)
    assert how == PYTHON or (scene.began(), scene.ended()) == (START, START + ns)


@pytest.mark.parametrize("events, n", [((), 0), ([3], 1)])
def test_a_long_round_with_more_to_do_is_a_gap_that_the_next_would_end(events, n):
    scene = Scene((MORE, 51, events))
    assert scene.run(longest=50) == n
    assert (scene.began(), scene.ended()) == (START, START + 51)


def test_rounds_are_measured_each_for_itself():
    scene = Scene((MORE, 50, ()), (MORE, 50, ()), (NOTHING, 50, ()), (PYTHON, 50, ()), naps=[(1, [])])
    assert scene.run(longest=50) == PYTHON
    assert (scene.began(), scene.ended()) == (START + 151, START + 201)


def test_times_are_carried_over_from_word_to_word():
    scene = Scene((MORE, (1 << 32) - 6, ()), (PYTHON, 3, ()), began=7)
    assert scene.run() == PYTHON
    assert list(scene.times) == [(1 << 32) - 1, 3, 2, 4]
