"""Whose turn it is, where the rings cannot show it: what neighbours get beside floods is in tests/sim/test_share.py."""
from types import SimpleNamespace

from firewall.interfaces import UPLINK
from firewall.turns import Turns


def test_an_uplink_whose_turn_made_no_work_is_passed_like_anybody():
    """There was no memory for the first of its frames: it kept its place, and no client got one."""
    turns = Turns()

    def charge(interface, work):
        turns.work = work
        turns.charge(interface)

    uplink, client = (SimpleNamespace(number=number, credit=0, round=-1) for number in (UPLINK, 1))
    turns.add(uplink)
    turns.add(client)
    assert turns.next() is uplink and turns.credit(uplink, False)
    charge(uplink, 0)
    assert turns.next() is client
    assert turns.credit(client, False)
    charge(client, 50)
    assert turns.next() is uplink and turns.credit(uplink, False)
    charge(uplink, 50)
    assert turns.next() is uplink  # there is credit left for more


def test_who_has_a_number_after_another_does_not_pay_its_debt():
    turns = Turns()
    uplink, first, second = (SimpleNamespace(number=number) for number in (UPLINK, 1, 1))
    turns.add(uplink)
    turns.add(first)
    turns.work = 5000
    turns.charge(first)
    assert not turns.credit(first, False)
    turns.remove(first)
    turns.add(second)
    assert turns.credit(second, False)
