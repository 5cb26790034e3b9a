"""Whose turn it is: the machine code, as plain Python, beside Forwarder._turns() with firewall/turns.py."""
import random
from types import SimpleNamespace

import kernels
import pytest

from firewall import turns

CIRCLE = kernels.of("circle")


class Both:
    """Two circles of the same neighbours; each question is asked of both."""

    def __init__(self, numbers):
        self.python, self.machine = turns.Turns(), turns.Turns()
        self.has = [0] * turns.NUMBERS
        self.interfaces = {}
        for number in numbers:
            self.come(number)
        m = self.machine
        self.t = kernels.block(m.words, m.numbers, m.credits, m.rounds, m.rested, self.has)

    def come(self, number):
        self.interfaces[number] = SimpleNamespace(number=number)
        for circle in (self.python, self.machine):
            circle.add(self.interfaces[number])

    def go(self, number):
        for circle in (self.python, self.machine):
            circle.remove(self.interfaces[number])
        del self.interfaces[number]

    def whose(self, roomy):
        expected = whose(self.python, self.has, roomy)
        assert CIRCLE.whose(self.t, roomy) == expected
        self.same()
        return expected

    def lone(self, number):
        self.python.alone(self.interfaces[number])
        CIRCLE.lone(self.t, number)
        self.same()

    def charge(self, number, work):
        self.python.work = work
        self.python.charge(self.interfaces[number])
        CIRCLE.charge(self.t, number, work)
        self.same()

    def rest(self):
        self.python.rest()
        self.machine.rest()

    def same(self):
        p, m = self.python, self.machine
        assert (p.words, p.credits, p.rested, p.numbers) == (m.words, m.credits, m.rested, m.numbers)
        assert p.rounds == m.rounds


def whose(circle, has, roomy):
    """What Forwarder._turns() does up to a turn."""
    passed = 0
    circle.begin()
    while passed < len(circle):
        interface = circle.next()
        if not has[interface.number]:
            passed += circle.idle(interface)
        elif interface.number and not roomy:
            return -2
        elif not circle.credit(interface, passed == len(circle) - 1 and not circle.owing):
            circle.put_off(interface)
            passed += 1
        else:
            return interface.number
        if circle.owing and passed == len(circle):
            circle.pay()
            passed = 0
    return -1


@pytest.mark.parametrize("seed", range(40))
def test_machine_code_gives_the_same_turns(seed):
    chance = random.Random(seed)
    both = Both(chance.sample(range(7), chance.randint(1, 6)))
    had = set()
    for _ in range(400):
        for number in both.interfaces:
            both.has[number] = chance.random() < (0.2, 0.6, 0.95)[seed % 3]
        what = chance.random()
        if what < 0.02:
            both.rest()
        elif what < 0.04 and len(both.interfaces) > 1:
            both.go(chance.choice(list(both.interfaces)))
        elif what < 0.06 and len(both.interfaces) < 7:
            both.come(chance.choice([number for number in range(7) if number not in both.interfaces]))
        elif what < 0.1:
            number = chance.choice(list(both.interfaces))
            both.lone(number)
            both.charge(number, chance.choice((0, 30, 420, 5000)))
        else:
            number = both.whose(int(chance.random() < 0.9))
            had.add(number)
            if number >= 0:
                both.charge(number, chance.choice((0, 30, 100, 420, 5000, 60000)))
    assert had - {-1, -2}


def test_after_as_many_rounds_as_a_word_counts_all_goes_on():
    both = Both([0, 1, 2])
    for circle in (both.python, both.machine):
        circle.words[turns.ROUND] = 0xFFFFFFFE
    both.has[:3] = [1, 1, 1]
    for _ in range(20):
        both.charge(both.whose(1), 4000)
    assert both.machine.words[turns.ROUND] < 1000


def test_constants_are_those_of_turns():
    for name in "ZERO QUANTUM FRONT AGAIN SOME ROUND RESTS OWING COUNT".split():
        assert getattr(CIRCLE, "_" + name) == getattr(turns, name)
