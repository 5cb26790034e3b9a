"""Whose turn it is, in machine code: deficit round-robin by work. Twin: firewall/turns.py, which says what words mean.

    whose()   credits, until somebody has a turn
    lone()    a turn of who alone has something
    charge()  what a turn has cost

t: words, the circle's numbers, and by number: credits, rounds, rests, what each has.
"""
import micropython
from micropython import const

_ZERO = const(1 << 30)
_QUANTUM = const(100)
_FRONT = const(0)
_AGAIN = const(1)
_SOME = const(2)
_ROUND = const(3)
_RESTS = const(4)
_OWING = const(5)
_COUNT = const(6)


@micropython.viper
def whose(t: ptr32, roomy: int) -> int:
    """Whose turn it is; -1: nobody has anything; -2: a client's, but the uplink has no room (not roomy)."""
    words = ptr32(t[0] | t[1] << 32)
    circle = ptr16(t[2] | t[3] << 32)
    credits = ptr32(t[4] | t[5] << 32)
    rounds = ptr32(t[6] | t[7] << 32)
    rested = ptr16(t[8] | t[9] << 32)
    has = ptr8(t[10] | t[11] << 32)
    count = words[_COUNT]
    now = words[_ROUND] + 1 & 0xFFFFFFFF
    words[_ROUND] = now
    owing = 0
    passed = 0
    while passed < count:
        again = words[_AGAIN]
        front = words[_FRONT]
        number = circle[front]
        if again:
            number = 0
        some = has[number]
        if some and number and roomy == 0:
            words[_OWING] = owing
            return 0 - 2
        if again:
            words[_AGAIN] = 0
            if some:
                words[_OWING] = owing
                return 0
        else:
            front += 1
            if front == count:
                front = 0
            words[_FRONT] = front
            quantum = _QUANTUM
            if number == 0:
                if words[_SOME] > 1:
                    quantum *= words[_SOME]
                words[_SOME] = 0
            credit = credits[number]
            if some == 0:
                credit += _QUANTUM
                if credit > _ZERO:
                    credit = _ZERO
                credits[number] = credit
            else:
                if number:
                    words[_SOME] = words[_SOME] + 1
                if rested[number] != words[_RESTS]:
                    rested[number] = words[_RESTS]
                    if credit < _ZERO:
                        credit = _ZERO
                credit += quantum
                most = _ZERO + quantum
                if credit > most or passed == count - 1 and owing == 0:
                    credit = most
                credits[number] = credit
                if credit > _ZERO:
                    words[_OWING] = owing
                    return number
                rounds[number] = now
                owing += 1
            passed += 1
        if owing and passed == count:
            weight = owing - 1
            if weight < 1:
                weight = 1
            least = 0 - 1
            for sweep in range(2):  # how many rounds until the first of them has a turn, and what all get in those
                for i in range(count):
                    number = circle[i]
                    if rounds[number] == now:
                        quantum = _QUANTUM
                        if number == 0:
                            quantum *= weight
                        if sweep:
                            credits[number] = credits[number] + least * quantum
                        else:
                            due = (_ZERO - credits[number]) // quantum
                            if least < 0 or due < least:
                                least = due
            now = now + 1 & 0xFFFFFFFF
            words[_ROUND] = now
            owing = 0
            passed = 0
    words[_OWING] = owing
    return 0 - 1


@micropython.viper
def lone(t: ptr32, number: int):
    """It alone has something: it has a turn, whatever it owes, and its place is passed."""
    words = ptr32(t[0] | t[1] << 32)
    circle = ptr16(t[2] | t[3] << 32)
    credits = ptr32(t[4] | t[5] << 32)
    words[_AGAIN] = 0
    count = words[_COUNT]
    front = 0
    while front < count and circle[front] != number:
        front += 1
    front += 1
    if front >= count:
        front = 0
    words[_FRONT] = front
    credits[number] = _ZERO + _QUANTUM


@micropython.viper
def charge(t: ptr32, number: int, work: int):
    """Charge it for the work of its turn, which is over."""
    words = ptr32(t[0] | t[1] << 32)
    credits = ptr32(t[4] | t[5] << 32)
    credit = credits[number] - work
    credits[number] = credit
    if number == 0 and work and credit > _ZERO:
        words[_AGAIN] = 1
