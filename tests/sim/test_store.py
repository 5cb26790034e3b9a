"""The simulated store keeps the real daemons' rules: permissions, quotas, transactions, watches."""
import pytest
from store import NODES_MAX, OXENSTORED, XENSTORED, Store, StoreError

HOME = b"/local/domain/5"


def refused(word, function, *args):
    with pytest.raises(StoreError) as error:
        function(*args)
    assert str(error.value) == word


@pytest.fixture(params=[XENSTORED, OXENSTORED], ids=lambda personality: personality.name)
def store(request):
    return Store(request.param)


@pytest.fixture
def events():
    return []


@pytest.fixture
def dom0(store):
    return store.client(0)


@pytest.fixture
def guest(store, dom0, events):
    """Domain 5, with what the toolstack gives every domain: a directory it may read, and one below that is its own."""
    dom0.write(HOME + b"/domid", b"5")
    dom0.set_perms(HOME, [("n", 0), ("r", 5)])
    dom0.set_perms(HOME + b"/domid", [("n", 0), ("r", 5)])
    dom0.mkdir(HOME + b"/data")
    dom0.set_perms(HOME + b"/data", [("n", 5)])
    return store.client(5, lambda path, token: events.append((path, token)))


# ---- permissions

def test_a_relative_path_is_below_our_own_directory(guest):
    assert guest.read(b"domid") == guest.read(HOME + b"/domid") == b"5"


def test_what_we_may_only_read_is_not_written(guest):
    refused("EACCES", guest.write, b"domid", b"6")
    refused("EACCES", guest.remove, b"domid")
    refused("EACCES", guest.set_perms, b"domid", [("n", 5)])
    refused("EACCES", guest.write, b"other", b"")  # nor a new node in a directory that is not ours


def test_a_missing_node_is_missing_where_we_may_look(guest):
    refused("ENOENT", guest.read, b"nothing")
    refused("ENOENT", guest.directory, b"data/nothing/at/all")


def test_a_missing_node_is_hidden_where_we_may_not_look(store, guest, dom0):
    dom0.write(b"/local/domain/7/name", b"other")
    refused("EACCES", guest.read, b"/local/domain/7/name")
    refused("EACCES" if store.personality.hides else "ENOENT", guest.read, b"/local/domain/7/nothing")


def test_a_new_node_has_its_parents_rights_and_our_ownership(guest, dom0):
    dom0.set_perms(HOME + b"/data", [("n", 5), ("r", 7)])
    guest.write(b"data/a/b/c", b"x")
    assert guest.get_perms(b"data/a") == guest.get_perms(b"data/a/b/c") == (("n", 5), ("r", 7))
    assert guest.directory(b"data/a/b") == [b"c"] and guest.read(b"data/a/b") == b""


def test_what_dom0_makes_below_ours_is_ours(store, guest, dom0):
    before = store.owned_by(5)
    dom0.write(HOME + b"/data/x", b"")
    assert store.owned_by(5) == before + 1 and guest.get_perms(b"data/x")[0][1] == 5


def test_the_owner_cannot_give_a_node_away(guest):
    guest.mkdir(b"data/x")
    refused("EPERM", guest.set_perms, b"data/x", [("n", 7)])
    guest.set_perms(b"data/x", [("n", 5), ("r", 7)])


def test_a_right_is_its_domains_alone(store, guest):
    guest.write(b"data/x", b"1")
    guest.set_perms(b"data/x", [("n", 5), ("r", 7)])
    assert store.client(7).read(HOME + b"/data/x") == b"1"
    refused("EACCES", store.client(7).write, HOME + b"/data/x", b"2")
    refused("EACCES", store.client(8).read, HOME + b"/data/x")


@pytest.mark.parametrize("path", [
    b"", b"a//b", b"a/", b"a b", b"a\xff", b"/local/domain/5/", b"a" * 2049, b"/" + b"a" * 3072])
def test_invalid_paths(guest, path):
    refused("EINVAL", guest.write, path, b"")


def test_the_root(guest, dom0):
    refused("EACCES", guest.write, b"/", b"")
    refused("EINVAL", dom0.remove, b"/")


def test_the_longest_paths(dom0, guest):
    refused("ENOENT", guest.read, b"data/" + b"a" * 2043)
    dom0.write(b"/" + b"a" * 3071, b"")


def test_removing(guest):
    guest.write(b"data/a/b", b"")
    guest.remove(b"data/a")
    refused("ENOENT", guest.read, b"data/a/b")
    guest.remove(b"data/a")  # gone already: fine
    refused("ENOENT", guest.remove, b"data/a/b")  # its parent is missing
    assert guest.directory(b"data") == []


# ---- quotas

def test_1000_nodes_those_of_dom0_included(store, guest, dom0):
    for i in range(900):  # in directories of 100: the names of all children are part of a node's size
        dom0.mkdir(HOME + b"/data/%d/%d" % (i // 100, i % 100))
    ours = 0
    while store.owned_by(5) < NODES_MAX:
        guest.mkdir(b"data/%d" % (100 + ours))
        ours += 1
    assert 0 < ours < 100
    refused(store.personality.quota, guest.mkdir, b"data/more")
    guest.write(b"data/0", b"a value for what is there already")
    dom0.mkdir(HOME + b"/data/dom0s")  # the toolstack is not asked
    guest.remove(b"data/100")
    guest.remove(b"data/101")
    guest.mkdir(b"data/more")


def test_nodes_come_back_when_removed(store, guest):
    before = store.owned_by(5)
    guest.write(b"data/a/b/c", b"")
    assert store.owned_by(5) == before + 3
    guest.remove(b"data/a")
    assert store.owned_by(5) == before


def test_the_size_of_a_node(store, guest):
    guest.write(b"data/x", bytes(2016))
    refused(store.personality.too_big, guest.write, b"data/x", bytes(2017))
    assert len(guest.read(b"data/x")) == 2016


def test_watches(store, guest):
    for i in range(store.personality.watches):
        guest.watch(b"data", b"%d" % i)
    refused(store.personality.too_many_watches, guest.watch, b"data", b"one more")
    guest.unwatch(b"data", b"0")
    guest.watch(b"data", b"one more")


def test_transactions_at_once(store, guest):
    for _ in range(store.personality.transactions):
        guest.start()
    refused(store.personality.quota, guest.start)
    guest.end(1, False)
    guest.start()


def test_five_permissions(guest):
    guest.mkdir(b"data/x")
    perms = [("n", 5)] + [("r", domid) for domid in range(10, 14)]
    guest.set_perms(b"data/x", perms)
    refused("ENOSPC", guest.set_perms, b"data/x", perms + [("r", 14)])


# ---- transactions

def test_what_is_written_in_a_transaction_is_seen_by_others_at_its_end(guest, dom0):
    tx = guest.start()
    guest.write(b"data/x", b"1", tx)
    assert guest.read(b"data/x", tx) == b"1"
    refused("ENOENT", dom0.read, HOME + b"/data/x")
    guest.end(tx, True)
    assert dom0.read(HOME + b"/data/x") == b"1"
    refused("ENOENT", guest.read, b"data/x", tx)  # no such transaction any more


def test_an_aborted_transaction_leaves_nothing(store, guest):
    before = store.owned_by(5), store.generation
    tx = guest.start()
    guest.write(b"data/a/b", b"1", tx)
    guest.remove(b"data", tx)
    guest.end(tx, False)
    assert (store.owned_by(5), store.generation) == before and store.transactions(5) == 0


def test_a_transaction_reads_the_same_value_twice(guest, dom0):
    tx = guest.start()
    assert guest.read(b"domid", tx) == b"5"
    dom0.write(HOME + b"/domid", b"9")
    assert guest.read(b"domid", tx) == b"5"


@pytest.mark.parametrize("touch", ["read", "write", "sibling"])
def test_a_conflict_ends_in_eagain_and_changes_nothing(guest, dom0, touch):
    guest.write(b"data/x", b"1")
    tx = guest.start()
    if touch == "read":
        guest.read(b"data/x", tx)
    guest.write(b"data/x" if touch == "write" else b"data/new", b"2", tx)
    dom0.write(HOME + (b"/data/sibling" if touch == "sibling" else b"/data/x"), b"3")
    refused("EAGAIN", guest.end, tx, True)
    assert guest.read(b"data/x") == (b"1" if touch == "sibling" else b"3")
    refused("ENOENT", guest.read, b"data/new")


def test_what_others_do_elsewhere_is_no_conflict(guest, dom0):
    guest.write(b"data/x/y", b"1")
    tx = guest.start()
    guest.write(b"data/x/y", b"2", tx)
    dom0.write(b"/vm/7/name", b"")
    guest.end(tx, True)
    assert guest.read(b"data/x/y") == b"2"


# ---- watches

def test_a_watch_sees_the_node_and_all_below_it(guest, dom0, events):
    guest.watch(b"data/a", b"t")
    for path in (b"/data/a", b"/data/a/b", b"/data/a/b/c"):
        dom0.write(HOME + path, b"")
    dom0.write(HOME + b"/data/ab", b"")
    dom0.write(HOME + b"/data", b"")
    assert events == [(b"data/a", b"t"), (b"data/a/b", b"t"), (b"data/a/b/c", b"t")]


def test_an_absolute_watch_tells_absolute_paths(guest, dom0, events):
    guest.watch(HOME + b"/data", b"t")
    dom0.write(HOME + b"/data/x", b"")
    assert events == [(HOME + b"/data/x", b"t")]


def test_removing_an_ancestor_tells_the_watched_path(guest, dom0, events):
    guest.write(b"data/a/b/c", b"")
    guest.watch(b"data/a/b", b"below")
    guest.watch(b"data", b"above")
    dom0.remove(HOME + b"/data/a")
    assert sorted(events) == [(b"data/a", b"above"), (b"data/a/b", b"below")]


def test_the_events_of_a_transaction_come_at_its_end(guest, events):
    guest.watch(b"data", b"t")
    tx = guest.start()
    guest.write(b"data/a", b"", tx)
    guest.write(b"data/a", b"again", tx)
    assert events == []
    guest.end(tx, True)
    assert events == [(b"data/a", b"t")] * 2


def test_our_own_writes_come_back(guest, events):
    guest.watch(b"data/x", b"t")
    guest.write(b"data/x", b"")
    assert events == [(b"data/x", b"t")]


def test_a_watch_where_we_may_not_look_tells_nothing(guest, dom0, events):
    dom0.write(b"/local/domain/7/name", b"")
    guest.watch(b"/local/domain/7", b"t")
    dom0.write(b"/local/domain/7/name", b"other")
    assert events == []


def test_same_path_other_token_is_another_watch(guest, dom0, events):
    guest.watch(b"data", b"1")
    guest.watch(b"data", b"2")
    refused("EEXIST", guest.watch, b"data", b"1")
    dom0.write(HOME + b"/data/x", b"")
    assert [token for _, token in events] == [b"1", b"2"]
    guest.unwatch(b"data", b"1")
    refused("ENOENT", guest.unwatch, b"data", b"1")


def test_a_domain_that_dies_leaves_its_nodes_and_nothing_else(store, guest):
    guest.watch(b"data", b"1")
    guest.start()
    guest.write(b"data/x", b"")
    guest.leave()
    assert (store.watches(5), store.transactions(5)) == (0, 0)
    assert store.client(0).read(HOME + b"/data/x") == b""
