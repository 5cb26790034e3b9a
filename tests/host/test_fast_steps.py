"""Steps of the kernels of rings that no frame shows: who is asked for an event, who is notified, what has room."""
import itertools

import kernels
import pytest

ROOMY, LIMIT = 58, 512
LOOKED = 4
SOME, ANSWERED, HOLDING, WAITING, ROOM = 1, 0x10000, 0x20000, 0x40000, 0x80000
UPLINK, CLIENT = 0, 3


class Rows:
    """Rows of addresses: the memory at each is found by rings.ptr32."""

    def __init__(self):
        self.memory = {}
        self.rows = {}

    def enter(self, number, *places):
        row = self.rows[number] = []
        for place in places:
            address = 0x700000003 * (len(self.memory) + 1)
            self.memory[address] = place
            row += [address & 0xFFFFFFFF, address >> 32]
        row += [0] * (8 - len(row))

    def __add__(self, octets):
        return self.rows[octets // 32]

    def pointer(self, given):
        return self.memory[given] if isinstance(given, int) else given


class Scene:
    """The uplink and one client, who have nothing; there is room for all."""

    def __init__(self):
        self.rings = kernels.of("rings")
        self.rows = rows = Rows()
        self.rings.ptr32 = rows.pointer
        self.tx, self.rx, self.client = [0] * 8, [0] * 8, [0] * 8
        self.tx_own, self.rx_own, self.client_own = [10, 10, 10], [20, 20, 20], [30, 30, 30]
        self.tx[2], self.rx[2], self.client[0] = 10, 20, 30
        self.link, self.counts = [ROOMY], [0, 0]
        self.lent = [[0], [0]]
        self.kept, self.waits = [0], [0]
        rows.enter(UPLINK, self.tx, self.tx_own, self.rx, self.rx_own)
        rows.enter(CLIENT, self.client, self.client_own, self.counts)
        self.calls = []
        self.lends = 0
        self.has = [0] * 8
        self.words = [2, 1] + kernels.block(
            rows, [CLIENT, UPLINK], self.has, self.link, self.lent[0], self.lent[1], self.kept, self.waits)
        self.tables = [self.words, lambda: self.calls.append("fence"), self._lend, None,
                       lambda _: self.calls.append("flush"), None]

    def _lend(self, _, room):
        assert room == -1
        return self.lends

    def look(self):
        return self.rings.look(self.words)

    def armed(self, may):
        """Events that were asked for at the end of a pass: of the netvm's answers, its frames, the client's."""
        self.tx[3] = self.rx[3] = self.client[1] = None
        self.said = self.rings.end(self.tables, may)
        return self.tx[3], self.rx[3], self.client[1]


@pytest.mark.parametrize("kept,ids,pages,slots", itertools.product((0, 1), *[(ROOMY - 1, ROOMY)] * 3))
def test_there_is_room_if_there_is_enough_of_everything(kept, ids, pages, slots):
    scene = Scene()
    scene.kept[0], scene.link[0] = kept, ids
    scene.lent[0][0], scene.lent[1][0] = 200, LIMIT - 200 - pages
    scene.tx_own[0] = scene.tx_own[2] + 256 - slots
    right = not kept and min(ids, pages, slots) == ROOMY
    assert scene.look() == (ROOM if right else 0)


def test_an_address_is_entered_in_two_words():
    rows = [9] * 6
    kernels.of("rings").enter(rows, 2, 0x700000003)
    assert [word & 0xFFFFFFFF for word in rows] == [9, 9, 3, 7, 9, 9]


def test_who_has_copies_in_the_burst():
    scene = Scene()
    assert scene.rings.sending(scene.words) == 0
    scene.counts[0] = 2
    assert scene.rings.sending(scene.words) == CLIENT


def something(scene, what):
    if what == "client":
        scene.client[0] += 1
    elif what == "netvm":
        scene.rx[2] += 1
    elif what == "answered":
        scene.tx[2] += 1
    elif what == "holding":
        scene.counts[1] = 1
    elif what == "waiting":
        scene.waits[0] = 1


@pytest.mark.parametrize("what,seen", [
    ("client", 1 | CLIENT << 22), ("netvm", 1), ("answered", ANSWERED), ("holding", HOLDING), ("waiting", WAITING),
    ("", 0),
])  # fmt: skip
@pytest.mark.parametrize("may", [0, 1, 2])
def test_nobody_is_asked_for_an_event_while_there_is_anything(what, seen, may):
    scene = Scene()
    something(scene, what)
    assert scene.look() == seen | ROOM
    armed = scene.armed(may)
    assert scene.said == seen | ROOM
    assert armed == ((None,) * 3 if seen or not may else (10 + (1, 64)[may - 1], 21, 31))
    assert scene.calls == ["flush"] + ["fence"] * (armed[0] is not None)
    assert scene.has[:4] == [what == "netvm", 0, 0, what == "client"]


@pytest.mark.parametrize("what,seen", [("client", 1 | CLIENT << 22), ("answered", ANSWERED), ("", 0)])
@pytest.mark.parametrize("may", [1, 2])
def test_who_has_just_looked_need_not_look_twice(what, seen, may):
    """What came since is seen behind the fence."""
    scene = Scene()
    something(scene, what)
    looks = []
    look = scene.rings.look
    scene.rings.look = lambda words: looks.append(1) or look(words)
    assert scene.armed(may | LOOKED) == (10 + (1, 64)[may - 1], 21, 31) and looks == [1]
    assert scene.said == seen | ROOM and scene.calls == ["flush", "fence"]


@pytest.mark.parametrize("lends,more", [(0, 0), (1, 0x100000), (-1, 0x200000)])
def test_nobody_is_asked_for_an_event_while_pages_are_due(lends, more):
    scene = Scene()
    scene.lends = lends
    assert (scene.armed(1)[0] is None) == (lends != 0) and scene.said == ROOM | more


def test_no_pages_are_due_while_the_netvm_has_all_that_it_can_have():
    scene = Scene()
    scene.lends = -1
    scene.rx_own[0] += 256
    assert scene.armed(1)[0] == 11 and scene.said == ROOM and scene.calls == ["flush", "fence"]
    scene.rx_own[2] += 1
    assert scene.armed(1)[0] is None and scene.said == ROOM | 0x200000 | 1


def full(scene, slots=0, ids=0, pages=0):
    """The netvm has requests of ours, and so much is free."""
    scene.tx_own[:2] = [10 + 256 - slots] * 2
    scene.link[0] = ids
    scene.lent[0][0], scene.lent[1][0] = 256, 256 - pages


def asked_for_room(scene):
    scene.tx[3] = scene.rx[3] = scene.client[1] = None
    return scene.rings.for_room(scene.words, lambda: scene.calls.append("fence"))


@pytest.mark.parametrize("slots, ids, pages, need", [
    (57, 57, 57, 1), (0, 0, 0, 58), (20, 57, 57, 38), (57, 20, 57, 38), (57, 57, 20, 38), (9, 8, 7, 51),
    (60, 61, 3, 55),
])  # fmt: skip
def test_the_answer_that_makes_room_is_asked_for(slots, ids, pages, need):
    """With the netvm's next frame, and no client."""
    scene = Scene()
    full(scene, slots, ids, pages)
    assert not scene.look() & ROOM
    assert asked_for_room(scene) == 1 and scene.calls == ["fence"]
    assert (scene.tx[3], scene.rx[3], scene.client[1]) == (10 + need, 21, None)


@pytest.mark.parametrize("answers, frames, said", [
    (0, 0, 1), (37, 0, 1), (38, 0, 0), (200, 0, 0), (-20, 0, 0), (0, 1, 0)])
@pytest.mark.parametrize("cons", [10, 0xFFFFFFF0])
def test_what_has_come_before_the_fence_is_seen_behind_it(answers, frames, said, cons):
    """A counter that lies is a reason for another pass, in which it is found out."""
    scene = Scene()
    full(scene, 20, 20, 20)
    scene.tx_own[:] = [cons + 236 & 0xFFFFFFFF] * 2 + [cons]
    scene.tx[2], scene.rx[2] = cons + answers & 0xFFFFFFFF, 20 + frames
    assert asked_for_room(scene) == said


@pytest.mark.parametrize("kept, ids, pages, there", [
    (1, 20, 20, 1), (0, -200, 20, 1), (0, 20, -200, 1), (0, 20, 20, 0)])
def test_where_answers_make_no_room_nobody_is_asked(kept, ids, pages, there):
    """Where there is no netvm, what was its memory is not touched."""
    scene = Scene()
    full(scene, 20, ids, pages)
    scene.kept[0], scene.words[1] = kept, there
    assert asked_for_room(scene) == -1 and scene.tx[3] is None and scene.rx[3] is None and scene.calls == []


@pytest.mark.parametrize("asked", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("ports", [(7, 8), (7, 7)])
def test_the_netvm_is_notified_by_the_port_of_who_asked(asked, ports):
    events = []
    rings = [[0, 99, 0, 0], [0, 99, 0, 0]]
    owns = [[5, 2, 0], [0x3, 0xFFFFFFFE, 0]]
    for i in asked:
        rings[i][1] = owns[i][0]
    kernels.of("uplink_tx").flush(
        kernels.table(rings[0], owns[0], rings[1], owns[1], [0, 0, *ports], handed=(lambda: None, events.append)))
    assert [ring[0] for ring in rings] == [5, 3] and [own[1] for own in owns] == [5, 3]
    assert events == sorted({ports[i] for i in asked})


@pytest.mark.parametrize("due,most,said", [(0, 9, 0), (3, 9, 3), (5, 2, 2), (6, 9, -1), (0xFFFFFFFF, 9, -1)])
def test_as_many_answers_are_taken_as_there_are(due, most, said):
    ring = [0] * 16 + [0, 0, 0] * 256
    ring[2] = 0xFFFFFFFD + due & 0xFFFFFFFF
    halves = [0] * 32 + [0] * 1536
    for i in range(256):
        halves[2 * (16 + 3 * i)] = i
    own = [2, 2, 0xFFFFFFFD]  # 5 are published, and no answer was taken
    refs, gone, ids, pages = [0] * 320, [0] * 320, [0] * 320, list(range(300, 556))
    link, pool, lent, stack, free = [4], [9], [50], [0] * 400, [0] * 256
    s = [0] * 16
    t = kernels.table(
        [ring, halves], pages, list(range(256)), refs, gone, ids, free, stack, s, own, link, pool, lent,
        handed=(refs, lambda refs, n: 0),
    )  # fmt: skip
    module = kernels.of("uplink_tx")
    module.ptr16 = lambda given: given[1] if isinstance(given[0], list) else given
    module.ptr32 = lambda given: given[0] if isinstance(given[0], list) else given
    assert module.take_back(t, most) == said
    n = max(said, 0)
    assert own[2] == 0xFFFFFFFD + n & 0xFFFFFFFF and (link[0], pool[0], lent[0]) == (4 + n, 9 + n, 50 - n)
    assert ids[:n] == free[4 : 4 + n] == [253, 254, 255, 0, 1][:n] and stack[9 : 9 + n] == [300 + i for i in ids[:n]]


def test_of_an_extra_info_every_octet_is_written():
    """What was in the slot is the client's own; what it would read there are features of the segments: none."""
    halves = [0xAAAA] * (2 * (16 + 2 * 256))
    ops = [0] * 40
    ops[3], ops[8], ops[13], ops[18] = 1007, 1400, 1008, 99
    stack, counts = [0] * 64, [0] * 8
    s = [255, 1, 10, 1000]
    sent = [0, 2, 3 | 1400 << 16]
    assert kernels.of("client_rx").respond(kernels.block(halves, ops, sent, stack, counts), s) == 0
    last, first = 2 * (16 + 2 * 255), 32
    assert halves[last + 1 : last + 4] == [0, 4 | 8 | 3, 1400]
    assert halves[first : first + 4] == [1, 1400, 1, 0] and halves[first + 5 : first + 8] == [0, 0, 99]
    assert s[0] == 258 and s[2] == 12 and stack[10:12] == [7, 8] and counts[4] == 1 and counts[6] == 1499


@pytest.mark.parametrize("free,lent,granted,said", [
    (200, 56, 0, 0), (128, 0, 128, 0), (129, 0, 128, 1), (400, 0, 128, 1), (0, 0, 0, 0), (400, 448, 0, 0),
    (400, 440, 8, 0),
])  # fmt: skip
def test_more_pages_are_due_only_if_they_are(free, lent, granted, said):
    own = [0, 0, 0]
    if not granted and free == 200:
        own[0] = 256
    pool, rx_lent, s = [free], [lent], [0] * 16
    stack, marks, taken = list(range(512)), [0] * 512, [0] * 320
    ring = [0] * (16 + 512)
    pages, grefs, refs = [0xFFFF] * 256, [0] * 256, list(range(320))
    gfns, places = [0] * 320, [0] * 1280
    t = kernels.table(
        (pages, stack, marks, places, gfns, taken), (ring, pages, grefs, refs, taken), s, own, pool, [0], rx_lent, [0],
        [5, 1000], taken, stack, handed=(None, None, None, lambda gfns, refs, n, domid, read: n, gfns, refs),
    )  # fmt: skip
    assert kernels.of("uplink_rx").lend(t, -1) == said
    assert rx_lent[0] == lent + granted and pool[0] == free - granted
