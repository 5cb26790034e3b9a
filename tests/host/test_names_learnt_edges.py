"""What one client learns: which answer counts, for how long, and what is forgotten first. Time is in ms."""
from struct import pack

import pytest

from firewall.names import dns
from firewall.names.learnt import Learnt
from firewall.names.names import Names

ADDRESS = 0xC0000207


def question(ident, host="a.example", kind=dns.A):
    return dns.question(ident, host, kind)


def reply(message):
    record = b"\xc0\x0c" + pack(">HHIHI", 1, 1, 300, 4, ADDRESS)
    return message[:2] + pack(">HHHHH", 0x8180, 1, 1, 0, 0) + message[12:] + record


@pytest.fixture
def learnt():
    return Learnt()


def test_an_answer_counts_once_in_its_flow_with_its_identification_for_30_s(learnt):
    learnt.ask(5, question(0x1234), 7)
    right = reply(question(0x1234))
    assert learnt.answer(6, right) is None and learnt.answer(5, reply(question(0x1235))) is None
    assert learnt.answer(5, reply(question(0x1234, "b.example"))) is None
    assert learnt.answer(5, b"") is None and learnt.answer(5, b"\x12") is None and learnt.answer(5, b"\x12\x34") is None
    assert learnt.answer(5, right) == ("a.example", [(ADDRESS, 300)], 30007)
    assert learnt.answer(5, right) is None


def test_what_is_no_question_for_an_address_is_not_remembered(learnt):
    learnt.ask(5, b"", 0)
    learnt.ask(5, reply(question(1)), 0)
    learnt.ask(5, question(1, kind=dns.AAAA), 0)
    assert learnt.answer(5, reply(question(1))) is None


def test_the_last_64_questions_are_remembered(learnt):
    """Asked again, the same question takes no other's place."""
    for ident in range(64):
        learnt.ask(5, question(ident), ident)
        learnt.ask(5, question(ident), ident + 1)
    assert learnt.answer(5, reply(question(0)))[2] == 30001
    learnt.ask(5, question(100), 0)  # in the place of 0
    learnt.ask(5, question(101), 0)  # and of 1
    assert learnt.answer(5, reply(question(1))) is None
    for ident in list(range(2, 64)) + [100, 101]:
        assert learnt.answer(5, reply(question(ident))), ident


def test_an_address_admits_for_its_ttl_between_five_minutes_and_an_hour(learnt):
    for ttl, least in ((0, 300), (300, 300), (301, 301), (3600, 3600), (9999, 3600)):
        assert learnt.learn("a%d" % ttl, [(ADDRESS, ttl)], 1000)
        until = 1000 + least * 1000
        assert learnt.next_past("a%d" % ttl, until - 1) == until and learnt.next_past("a%d" % ttl, until) is None
        assert learnt.admits("a%d" % ttl, until - 1) == (ADDRESS,) == learnt.admits("a%d" % ttl, until, True)
        assert learnt.admits("a%d" % ttl, until) == () == learnt.admits("a%d" % ttl, until - 1, True)


def test_what_is_learnt_anew_admits_no_shorter_and_is_news_once_it_was_past(learnt):
    assert learnt.learn("a", [(ADDRESS, 600)], 0) is True
    assert learnt.learn("a", [(ADDRESS, 300)], 1) is False
    assert learnt.next_past("a", 1) == 600000
    assert learnt.learn("a", [(ADDRESS, 600)], 1) is False
    assert learnt.next_past("a", 1) == 600001
    assert learnt.learn("a", [(ADDRESS, 300), (ADDRESS + 1, 300)], 600001) is True
    assert learnt.learn("a", [(ADDRESS + 2, 300), (ADDRESS, 300)], 600001) is True
    assert learnt.addresses == 3
    learnt.end(600002)
    assert learnt.admits("a", 600002) == () and len(learnt.admits("a", 600002, True)) == 3


def test_what_became_past_in_this_ms_is_news_by_itself(learnt):
    learnt.learn("a", [(ADDRESS, 300)], 0)
    assert learnt.learn("a", [(ADDRESS, 300)], 299999) is False
    learnt.end(300000)
    assert learnt.learn("a", [(ADDRESS, 300)], 300000) is True


def test_who_was_passed_over_once_goes_the_next_time(learnt):
    for i in range(512):
        learnt.learn("n%d" % i, [(i, 300)], i)
    learnt.learn("n0", [(0, 300)], 600)
    for i in range(511):
        learnt.learn("m%d" % i, [(1000 + i, 300)], 601)
    assert "n0" in learnt.hosts and "n511" not in learnt.hosts
    learnt.learn("m511", [(1511, 300)], 602)
    assert "n0" not in learnt.hosts and len(learnt.hosts) == 512


def test_the_first_question_of_all_is_not_taken_for_an_empty_place(learnt):
    learnt.ask(0, question(1), 0)
    for ident in range(2, 65):
        learnt.ask(0, question(ident), 0)
    assert learnt.answer(0, reply(question(1))) == ("a.example", [(ADDRESS, 300)], 30000)


def test_what_admits_again_is_not_pruned(learnt):
    """An address that was past when flows were looked through, and was learnt anew before the end of that."""
    learnt.learn("a", [(ADDRESS, 300), (ADDRESS + 1, 300), (ADDRESS + 2, 300)], 0)
    past = set(learnt.admits("a", 300000, True))
    assert len(past) == 3
    learnt.learn("a", [(ADDRESS, 300)], 300000)
    learnt.prune("a", past - {ADDRESS + 2}, {ADDRESS + 1}, 300000)
    assert learnt.addresses == 3
    learnt.prune("a", past - {ADDRESS + 2}, set(), 300000)
    assert learnt.admits("a", 300000) == (ADDRESS,) and learnt.admits("a", 300000, True) == (ADDRESS + 2,)
    assert learnt.addresses == 2 and sorted(learnt.by_address.values()) == ["a", "a"]
    learnt.prune("b", past, set(), 300000)


def test_the_oldest_goes_first_but_for_eight_that_were_learnt_anew(learnt):
    for i in range(512):
        learnt.learn("n%d" % i, [(i, 300)], i)
    for i in range(10):
        learnt.learn("n%d" % i, [(i, 300)], 600)
    learnt.learn("new", [(9999, 300)], 601)
    assert set(learnt.hosts) == {"n%d" % i for i in range(512) if i != 8} | {"new"}
    learnt.learn("newer", [(10000, 300)], 602)
    assert "n9" in learnt.hosts and "n10" not in learnt.hosts  # learnt anew too: passed over, once
    for i in range(501):
        learnt.forget_oldest("newer")
    # the spared ones come up again, after all that were behind them
    assert "newer" in learnt.hosts and {"n%d" % i for i in range(8)} < set(learnt.hosts)
    while len(learnt.hosts) > 1:
        learnt.forget_oldest("newer")
    learnt.forget_oldest("newer")
    assert list(learnt.hosts) == ["newer"] and learnt.addresses == 1 and list(learnt.by_address.values()) == ["newer"]
    learnt.forget_oldest()
    learnt.forget_oldest()
    assert not learnt.hosts and not learnt.addresses and not learnt.by_address


def test_all_names_of_a_client_share_4096_addresses(learnt):
    for i in range(16):
        learnt.learn("n%d" % i, [(i << 8 | each, 300) for each in range(256)], i)
    assert learnt.addresses == 4096
    learnt.learn("n15", [(99999, 300)], 16)  # in the place of one of its own
    assert learnt.addresses == 4096 and len(learnt.hosts) == 16
    learnt.learn("one more", [(100000, 300)], 17)
    assert learnt.addresses == 3841 and "n0" not in learnt.hosts and len(learnt.hosts) == 16


@pytest.mark.parametrize("hosts, addresses", [(2048, 0), (0, 8192), (9999, 9999)])
def test_nothing_is_sought_for_ever_where_nothing_is_left_to_forget(hosts, addresses):
    """Counts that were too high, as a switch of learning left them for want of memory, held the firewall for ever."""
    names = Names(None, lambda octets: bytes(octets), print)
    for client in (1, 2):
        names.attached(client)
        names.asked(client, 5, question(7), 0)
    names._hosts, names._addresses = hosts, addresses
    assert names.heard(1, 5, reply(question(7)), 0) and names.heard(2, 5, reply(question(7)), 0)
    assert names.name_of(2, ADDRESS, 0) == "a.example"
