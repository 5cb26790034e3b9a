"""A pass in machine code, as plain Python, with kernels that say what a test wants: where it stops, what is left."""
import kernels
import pytest

SOME, ANSWERED, HOLDING, WAITING, ROOM, WHO = 1, 0x10000, 0x20000, 0x40000, 0x80000, 22
MORE, ASKED = 0x100000, 0x200000
LOOKED = 4
WHOLE, REST, ANSWERS, HELD, PACKETS, FAILED, TURN = range(7)
CLIENT = SOME | ROOM | 3 << WHO
UPLINK = SOME | ROOM
TABLES = ("words", "fence")  # what end() is given


class Scene:
    """seen: what look() finds, one after the other; end() then finds `ends`. fates: of packets that are hits.

    Who has something: the client 3, if what is seen says 3, else the uplink too. room: what for_room() says.
    """

    def __init__(self, *seen, taken=(2 | 2 << 16,), fates=(0, 0, 0), misses_at=(), out=None, answers=0, errors=0,
                 failed=0, tapped=0, deaf=0, whose=(), begins=(), now=5_000_000, due=10**9, many=0, strays=(),
                 longest=1_200_000, may_wait=0, ends=0, room=1):
        self.seen, self.taken, self.calls = list(seen), list(taken), []
        self.packets = [0] * 64
        for i, fate in enumerate(fates):
            self.packets[8 * i + 6] = fate
        self.copies, sending = [5 if failed else 0], [3, 0]
        calm, scalars = [0] * 8, [0, 0, errors]
        self.calm = calm
        has, circle = [7] * 8, kernels.block(*[None] * 5)
        circle += kernels.block(has)
        arrays = [None] * 8
        arrays[0] = ("uplink", "to uplink", 2, "back")
        arrays[3] = ("client", "to client", "finish")
        self.w = w = kernels.Words(16 * [0] + kernels.block(calm, scalars, self.copies, self.packets, circle))
        w += [0, 0, 3, 65]
        self.known_time, self.due = [0], due
        w += [0, 0, 0, self.due & 0xFFFFFFFF, self.due >> 32, *kernels.block(self.known_time), 9, longest]
        w += [0, may_wait, 9]
        order, beginning = list(whose), list(begins)
        times = [now] if isinstance(now, int) else list(now)  # what the clock shows, the last one for ever
        misses = set(misses_at)
        w[1], w[11], w[12], w[13], w[14] = 2, 8, 40, 20, 10
        w[3] = w[7] = w[8] = w[26] = 9  # of the last pass
        w[2] = many

        def begin(number, i):
            if beginning and beginning.pop(0):
                misses.remove(i)
                return 1
            return 0

        def say(name, result=0):
            def called(*words):
                self.calls.append((name,) + tuple("circle" if word is circle else word for word in words))
                return result(*words) if callable(result) else result
            return called

        def take(whose):
            def taken(arrays, limit):
                assert arrays == whose
                return self.taken.pop(0)
            return say("take", taken)

        def drop(number, first, n):
            behind = first
            while behind < n and behind in strays:
                misses.remove(behind)
                behind += 1
            return behind

        def look(_):
            seen = self.seen.pop(0)
            has[0] = int(seen & 0xFFFF != 0 and seen >> WHO == 0)
            return seen

        put = out or (lambda arrays, first, end, room: end - first)
        self.t = [
            look, "words", say("end", ends), ("words", "fence"), w, arrays,
            lambda: times.pop(0) if times[1:] else times[0], say("tally"),
            say("whose", lambda *_: order.pop(0)),
            take("uplink"), take("client"),
            say("hits", lambda b, tables, first, n, number: min([n] + [i for i in misses if i >= first])),
            None, None, None,
            say("put", put), say("give", lambda arrays, first, end: -1 if deaf else end), say("back", answers),
            say("copy"), "ops", lambda tables: sending.pop(0), say("finish", failed), say("lone"), say("charge"),
            say("came") if tapped else None, say("went", tapped), say("begin", begin), "taps",
            say("drop", drop), say("room", room),
        ]
        self.how = kernels.of("passes").alone(self.t)

    def names(self):
        return [call[0] for call in self.calls]


def test_nothing_to_do_is_told_at_once():
    scene = Scene(0)
    assert (scene.how, scene.names(), scene.w[3], scene.w[26], scene.w[37]) == (WHOLE, ["end"], 0, 0, 0)
    assert scene.w[31:33] == [0, 0] and scene.known_time == [0]  # no clock was read


@pytest.mark.parametrize("seen", [HOLDING, WAITING, 2 | HOLDING | ROOM, CLIENT | WAITING, 2 | ANSWERED | WAITING])
def test_what_is_not_simple_is_left_whole(seen):
    scene = Scene(seen)
    assert (scene.how, scene.calls, scene.w[0]) == (REST, [], seen)


@pytest.mark.parametrize("now, counted", [(10**9 - 1, []), (10**9, [("tally", 10**9)])])
def test_slots_are_counted_when_it_is_time(now, counted):
    scene = Scene(CLIENT, 0, now=now)
    assert [call for call in scene.calls if call[0] == "tally"] == counted
    assert scene.known_time == [now // 10**6] and scene.w[31:33] == [now, 0]


@pytest.mark.parametrize("before, counted", [(1, 0), (0, 1), (-1, 1)])
def test_times_have_two_words(before, counted):
    """Which of the upper words are alike, and of the lower ones greater."""
    now = 5 << 32 | 7
    scene = Scene(CLIENT, 0, now=now, due=now + before)
    assert scene.w[31] | scene.w[32] << 32 == now and scene.names().count("tally") == counted
    assert Scene(CLIENT, 0, now=now, due=4 << 32 | 0xFFFFFFFF).names().count("tally") == 1
    assert Scene(CLIENT, 0, now=now, due=6 << 32).names().count("tally") == 0


def test_hits_go_all_the_way():
    scene = Scene(CLIENT, 0)
    assert scene.how == WHOLE and scene.names() == ["lone", "take", "hits", "put", "charge", "end"]
    assert scene.w[3] == 1 and scene.w[9] == 2 and scene.w[4] == 3
    assert ("lone", "circle", 3) in scene.calls and ("charge", "circle", 3, 20 + 2 * 10) in scene.calls


def test_each_turn_is_charged():
    scene = Scene(CLIENT, UPLINK, 0, taken=[2 | 2 << 16, 1 | 1 << 16])
    assert scene.how == WHOLE and [call for call in scene.calls if call[0] == "charge"] == [
        ("charge", "circle", 3, 40), ("charge", "circle", 0, 30)]
    assert (scene.w[4], scene.w[9]) == (0, 3)


def test_of_several_the_circle_says_whose_turn_it_is():
    scene = Scene(2 | ROOM, CLIENT, 0, taken=[2 | 2 << 16, 1 | 1 << 16], whose=[0, 3])
    assert scene.how == WHOLE and [call for call in scene.calls if call[0] in ("whose", "charge", "lone")] == [
        ("whose", "circle", 1), ("charge", "circle", 0, 40), ("whose", "circle", 1), ("charge", "circle", 3, 30)]


def test_who_comes_while_one_is_alone_waits_for_the_next_pass():
    scene = Scene(CLIENT, 2 | ROOM)
    assert scene.how == WHOLE and scene.names().count("take") == 1 and "whose" not in scene.names()


@pytest.mark.parametrize("whose, how", [(-1, WHOLE), (-2, REST)])
def test_where_nobody_may_have_a_turn_none_is_taken(whose, how):
    scene = Scene(2 | ROOM, whose=[whose])
    assert scene.how == how and "take" not in scene.names()


@pytest.mark.parametrize("seen, asked", [(3, ["whose"]), (3 | 3 << WHO, [])])
def test_without_room_several_are_pythons(seen, asked):
    scene = Scene(seen | ANSWERED, seen, whose=[-2])
    assert (scene.how, scene.names(), scene.w[0]) == (REST, ["back"] + asked, seen)


BUSY = SOME | 3 << WHO


@pytest.mark.parametrize("seen", [BUSY, 2 | 3 << WHO])
@pytest.mark.parametrize("room", [0, 1])
def test_in_the_loop_clients_alone_wait_for_the_answer_that_makes_room(seen, room):
    """Events are asked for behind what the netvm is shown; the tick is told, which looks whether it answers."""
    scene = Scene(seen, may_wait=1, room=room)
    assert (scene.how, scene.names(), scene.w[3], scene.w[0] & SOME) == (WHOLE, ["end", "room"], 1, SOME)
    assert scene.calls == [("end", TABLES, LOOKED), ("room", "words", "fence")]
    assert scene.w[40:42] == [1, room]


def test_an_answer_that_never_makes_room_is_not_waited_for():
    scene = Scene(BUSY, may_wait=1, room=-1)
    assert scene.how == WHOLE and scene.w[40:42] == [0, 0] and scene.w[0] & SOME


@pytest.mark.parametrize("ends", [MORE, ASKED])
def test_while_pages_are_due_nobody_waits_for_room(ends):
    scene = Scene(BUSY, may_wait=1, ends=ends)
    assert (scene.how, scene.names(), scene.w[0], scene.w[41]) == (WHOLE, ["end"], ends | SOME, 0)


@pytest.mark.parametrize("may_wait, seen", [(0, BUSY), (0, 2 | 3 << WHO), (1, BUSY | WAITING), (1, BUSY | HOLDING)])
def test_what_waits_longer_or_for_others_is_pythons(may_wait, seen):
    scene = Scene(seen, may_wait=may_wait)
    assert (scene.how, scene.calls, scene.w[41]) == (REST, [], 0)


def test_the_netvms_frames_do_not_wait_for_room():
    scene = Scene(SOME, 0, may_wait=1)
    assert scene.how == WHOLE and scene.names().count("take") == 1 and scene.w[41] == 0
    assert Scene(2, may_wait=1, whose=[-2]).how == REST


def test_room_that_a_turn_has_used_up_is_waited_for_in_the_same_pass():
    scene = Scene(CLIENT, BUSY | ANSWERED, BUSY, may_wait=1)
    assert scene.how == WHOLE and scene.seen == [] and scene.w[41] == 1 and scene.w[26] == 1
    assert scene.names() == ["lone", "take", "hits", "put", "charge", "back", "end", "room"]


def test_copies_of_such_a_pass_are_done_before():
    scene = Scene(CLIENT, BUSY, may_wait=1, failed=1)
    assert scene.how == FAILED and "room" not in scene.names()


def test_room_that_is_used_up_is_none_for_the_next():
    scene = Scene(2 | ROOM, 2, taken=[2 | 2 << 16], whose=[0, -2])
    assert scene.how == REST and [call for call in scene.calls if call[0] == "whose"] == [
        ("whose", "circle", 1), ("whose", "circle", 0)]


def test_what_alone_waits_for_room_is_pythons_too():
    scene = Scene(2 | ROOM, 2 | ROOM | WAITING, taken=[2 | 2 << 16], whose=[0, -2])
    assert ("whose", "circle", 0) in scene.calls


@pytest.mark.parametrize("misses, limits, calm", [([], [8, 40], 1), ([1], [8], 0)])
def test_who_brings_hits_alone_may_bring_more_the_next_time(misses, limits, calm):
    seen = [CLIENT] * len(limits) + [0]
    scene = Scene(*seen, taken=[2 | 2 << 16] * 2, misses_at=misses, begins=[1])
    assert [call[2] for call in scene.calls if call[0] == "take"] == limits and scene.calm[3] == calm


@pytest.mark.parametrize("seen", [CLIENT, UPLINK])
def test_behind_a_lone_packet_nobody_looks_before_events_are_asked_for(seen):
    """There are two looks less: what has come is seen when they have been."""
    scene = Scene(seen, taken=[1 | 1 << 16], fates=(0,))
    assert scene.how == WHOLE and scene.seen == [] and scene.calls[-1] == ("end", TABLES, 1 | LOOKED)


def test_of_several_who_have_something_one_packet_is_not_lone():
    scene = Scene(2 | ROOM, CLIENT, 0, taken=[1 | 1 << 16] * 2, whose=[0, 3])
    assert scene.how == WHOLE and scene.names().count("take") == 2 and scene.seen == []


def test_no_more_turns_than_neighbours():
    scene = Scene(CLIENT, CLIENT, CLIENT, taken=[2 | 2 << 16] * 3)
    assert scene.how == WHOLE and scene.names().count("take") == 2 and scene.w[26] == 2


def test_no_client_is_asked_without_room():
    scene = Scene(SOME | 3 << WHO | ANSWERED, SOME | 3 << WHO | ANSWERED)
    assert scene.how == REST and scene.names() == ["back"] and scene.w[0] == SOME | 3 << WHO


def test_answers_may_make_room():
    scene = Scene(SOME | 3 << WHO | ANSWERED, CLIENT, 0)
    assert scene.how == WHOLE and scene.names()[:3] == ["back", "lone", "take"] and scene.seen == []


def test_answers_may_make_room_between_two_turns():
    scene = Scene(CLIENT, SOME | 3 << WHO | ANSWERED, CLIENT, 0, taken=[2 | 2 << 16] * 2)
    assert scene.how == WHOLE and scene.seen == [] and scene.w[26] == 2
    assert [name for name in scene.names() if name in ("take", "back")] == ["take", "back", "take"]
    scene = Scene(CLIENT, CLIENT | ANSWERED, 0, taken=[2 | 2 << 16] * 2)  # there is room: the next pass has them
    assert "back" not in scene.names() and scene.seen == []
    scene = Scene(CLIENT, ANSWERED)  # nobody wants any
    assert "back" not in scene.names() and scene.how == WHOLE


@pytest.mark.parametrize("answers, errors", [(-1, 0), (-5, 0), (4, 1)])
def test_answers_out_of_order_between_two_turns_are_pythons(answers, errors):
    scene = Scene(CLIENT, SOME | 3 << WHO | ANSWERED, answers=answers, errors=errors)
    assert scene.how == ANSWERS and scene.w[26] == 1 and scene.w[5] == answers & 0xFFFFFFFF
    assert scene.w[0] == SOME | 3 << WHO


@pytest.mark.parametrize("answers, errors, how", [(4, 0, WHOLE), (-1, 0, ANSWERS), (-5, 0, ANSWERS), (4, 1, ANSWERS)])
def test_answers_out_of_order_are_pythons(answers, errors, how):
    scene = Scene(ANSWERED, answers=answers, errors=errors)
    assert scene.how == how and scene.w[3] == 1
    assert how == WHOLE or scene.w[5] == answers & 0xFFFFFFFF
    assert ("back", "back", 256) in scene.calls


@pytest.mark.parametrize("taken, how", [(0, TURN), (-1, TURN), (-2, HELD), (-7, HELD)])
def test_a_ring_that_is_not_in_order_is_pythons(taken, how):
    scene = Scene(UPLINK, taken=[taken])
    assert scene.how == how and scene.w[5] == taken & 0xFFFFFFFF
    assert scene.w[4] == 0 and "hits" not in scene.names() and "charge" not in scene.names()


def test_what_stands_behind_a_miss_is_pythons():
    scene = Scene(CLIENT, taken=[3 | 3 << 16], misses_at=[1])
    assert scene.how == PACKETS and scene.w[5:9] == [3 | 3 << 16, 1, 1, 0] and scene.w[9] == 1
    assert scene.w[10] == 20 + 3 * 10 and scene.w[26] == 1 and "charge" not in scene.names()


def test_a_flow_that_begins_is_a_hit_then():
    scene = Scene(CLIENT, 0, taken=[3 | 3 << 16], misses_at=[0, 2], begins=[1, 1])
    assert scene.how == WHOLE and ("put", "to uplink", 0, 3, -1) in scene.calls
    assert [(call[0],) + call[-3:] for call in scene.calls if call[0] in ("begin", "hits")] == [
        ("hits", 0, 3, 3), ("begin", "begin", 3, 0), ("hits", 0, 3, 3), ("begin", "begin", 3, 2), ("hits", 2, 3, 3)]
    assert scene.w[9] == 3 and ("charge", "circle", 3, 20 + 3 * 10 + 2 * 65) in scene.calls and not scene.calm[3]


@pytest.mark.parametrize("begins, begun", [([0], 0), ([1, 0], 1), ([1, 1, 1, 1], 3)])
def test_what_begins_no_flow_or_is_one_too_many_is_pythons(begins, begun):
    scene = Scene(CLIENT, taken=[4 | 4 << 16], fates=(0, 0, 0, 0), misses_at=[0, 1, 2, 3], begins=begins)
    assert scene.how == PACKETS and scene.w[6:9] == [begun, begun, 0] and scene.w[27] == begun
    assert scene.w[10] == 20 + 4 * 10 + begun * 65


BEGAN = 5 << 32 | 7


@pytest.mark.parametrize("times, begun", [
    ([BEGAN, BEGAN + 200, BEGAN + 201], 2), ([BEGAN, BEGAN + 201], 1), ([BEGAN] + [BEGAN + 200] * 3, 3),
])
def test_when_the_passs_time_is_over_no_other_flow_begins(times, begun):
    """But the turn's first, so that there is an end of it."""
    scene = Scene(CLIENT, taken=[4 | 4 << 16], fates=(0, 0, 0, 0), misses_at=[0, 1, 2, 3], begins=[1, 1, 1, 0],
                  now=times, longest=200)
    assert scene.how == PACKETS and scene.w[6:9] == [begun, begun, 0] and scene.w[27] == begun


@pytest.mark.parametrize("late, turns", [(200, 2), (201, 1)])
def test_when_the_passs_time_is_over_no_other_turn_begins(late, turns):
    scene = Scene(2 | ROOM, 2 | ROOM, 0, taken=[1 | 1 << 16] * 2, whose=[3, 3], now=[BEGAN, BEGAN + late], longest=200)
    assert scene.how == WHOLE and scene.names().count("take") == turns


def test_from_the_uplink_none_begins():
    scene = Scene(UPLINK, taken=[2 | 2 << 16], misses_at=[1], begins=[1])
    assert scene.how == PACKETS and scene.w[27] == 0 and "begin" not in scene.names()


def test_what_is_of_no_flow_is_gone_and_the_others_leave():
    strays = [0, 2, 3, 5]
    scene = Scene(UPLINK, UPLINK, 0, taken=[6 | 6 << 16, 1 | 1 << 16], fates=(0,) * 6, misses_at=strays, strays=strays)
    assert scene.how == WHOLE and scene.w[9] == 2 + 1 and scene.calm[0] and scene.w[37] == 0
    assert [call for call in scene.calls if call[0] in ("put", "drop")] == [
        ("drop", 0, 0, 6), ("put", "to uplink", 1, 2, -1), ("drop", 0, 2, 6), ("put", "to uplink", 4, 5, -1),
        ("drop", 0, 5, 6), ("put", "to uplink", 0, 1, -1)]
    assert [call[-1] for call in scene.calls if call[0] == "charge"] == [20 + 6 * 10, 20 + 10]
    assert [call[2] for call in scene.calls if call[0] == "take"] == [8, 40]


def test_what_stands_behind_strays_and_is_none_is_pythons():
    scene = Scene(UPLINK, taken=[4 | 4 << 16], fates=(0,) * 4, misses_at=[1, 3], strays=[1])
    assert scene.how == PACKETS and scene.w[6:9] == [3, 3, 0] and scene.w[9] == 2 and scene.w[10] == 20 + 4 * 10
    scene = Scene(UPLINK, taken=[4 | 4 << 16], fates=(0,) * 4, misses_at=[1, 2], strays=[1])
    assert scene.how == PACKETS and scene.w[6:9] == [2, 2, 0] and scene.names().count("put") == 1


def test_behind_what_has_no_room_nothing_is_dropped():
    """First the hits leave: nothing changes places."""
    scene = Scene(UPLINK, taken=[4 | 4 << 16], fates=(0,) * 4, misses_at=[2], strays=[2], out=lambda *_: 1)
    assert scene.how == PACKETS and scene.w[6:9] == [2, 1, 0] and "drop" not in scene.names()
    scene = Scene(UPLINK, taken=[4 | 4 << 16], fates=(0,) * 4, misses_at=[0], strays=[0], out=lambda *_: 1)
    assert scene.how == PACKETS and scene.w[6:9] == [4, 2, 0]


def test_what_a_client_sends_that_nobody_need_read_is_gone_and_each_look_for_it_is_charged():
    """No flow begins behind it, but by the judge: in order."""
    scene = Scene(CLIENT, 0, taken=[6 | 6 << 16], fates=(0,) * 6, misses_at=[0, 1, 3], strays=[1, 3], begins=[1, 0])
    assert scene.how == WHOLE and scene.w[9] == 4 and scene.w[37] == 1
    assert [call for call in scene.calls if call[0] in ("put", "drop", "begin")] == [
        ("begin", 3, 0), ("begin", 3, 1), ("put", "to uplink", 0, 1, -1), ("drop", 3, 1, 6),
        ("put", "to uplink", 2, 3, -1), ("drop", 3, 3, 6), ("put", "to uplink", 4, 6, -1)]
    assert scene.calls[-2][-1] == 20 + 6 * 10 + 3 * 65
    scene = Scene(CLIENT, taken=[3 | 3 << 16], fates=(0,) * 3, misses_at=[0, 2], strays=[0], begins=[0, 1])
    assert scene.how == PACKETS and scene.w[6:9] == [2, 2, 0] and scene.names().count("begin") == 1


@pytest.mark.parametrize("scene, done", [
    (dict(misses_at=[0, 1], strays=[0, 1]), 0), (dict(misses_at=[0], strays=[0]), 1),
    (dict(misses_at=[1], strays=[1]), 1), (dict(), 1), (dict(misses_at=[0, 1], strays=[1], begins=[1, 0]), 1),
])
@pytest.mark.parametrize("seen", [CLIENT, UPLINK | ANSWERED, UPLINK])
def test_to_drop_what_nobody_need_read_is_not_to_do_anything(seen, scene, done):
    """The tick need not be woken by it."""
    if seen != CLIENT and scene.get("begins"):
        return
    scene = Scene(seen, 0, **scene)
    assert scene.how == WHOLE and scene.w[3] == (done or int(seen & ANSWERED != 0))
    assert "charge" in scene.names()


@pytest.mark.parametrize("said, gone, left", [(1, 1, 0), (0, 0, 0), (-1, 0, 0), (-2, 0, -2), (-4, 0, -4)])
def test_what_has_no_room_is_pythons(said, gone, left):
    scene = Scene(CLIENT, out=lambda *_: said)
    assert scene.how == PACKETS and (scene.w[7], scene.w[8]) == (gone, left & 0xFFFFFFFF)


def test_each_goes_its_way_in_order():
    scene = Scene(CLIENT, 0, taken=[3 | 3 << 16], fates=(0, 3, 0))
    assert scene.how == WHOLE
    assert [call for call in scene.calls if call[0] in ("put", "give")] == [
        ("put", "to uplink", 0, 1, -1), ("give", "to client", 1, 2), ("put", "to uplink", 2, 3, -1)]


def test_a_client_that_was_told_of_as_deaf_is_pythons():
    """It has given buffers again, which is to be told."""
    scene = Scene(UPLINK, taken=[3 | 3 << 16], fates=(0, 3, 3), deaf=1)
    assert scene.how == PACKETS and scene.w[7] == 1 and scene.names().count("give") == 1


def test_an_interface_that_has_gone_is_pythons():
    scene = Scene(CLIENT, fates=(5, 5))
    assert scene.how == PACKETS and scene.w[7] == 0 and "put" not in scene.names()


@pytest.mark.parametrize("many", [0, 1])
def test_the_end_is_told_whether_many_slots_went_out(many):
    scene = Scene(CLIENT, 0, many=many)
    assert scene.how == WHOLE and scene.calls[-1] == ("end", TABLES, 1 + many | LOOKED)


@pytest.mark.parametrize("failed, how", [(0, WHOLE), (2, FAILED)])
def test_copies_that_failed_are_pythons(failed, how):
    scene = Scene(CLIENT, 0, failed=failed)
    assert scene.how == how and (not failed or scene.copies == [0] and scene.w[15] == 3 and scene.w[5] == 2)
    assert not failed or scene.calls[-2:] == [("copy", "ops", 5), ("finish", "finish")]


def test_a_capture_is_told_before_and_after_and_its_work_is_charged():
    scene = Scene(CLIENT, 0, taken=[3 | 3 << 16], misses_at=[2], tapped=7)
    assert scene.how == PACKETS and scene.names() == ["lone", "take", "came", "hits", "begin", "went", "put", "drop"]
    assert ("came", "taps", None, 3, 3) in scene.calls and ("went", "taps", None, 3, 0, 2) in scene.calls
    assert scene.w[10] == 20 + 3 * 10 + 7


@pytest.mark.parametrize("scene, ran", [
    (dict(misses_at=[1], begins=[1]), 1), (dict(misses_at=[1], begins=[0]), 0), (dict(), 0),
])
def test_a_pass_in_which_python_began_a_flow_says_so_and_one_in_which_none_forgets_it(scene, ran):
    scene = Scene(CLIENT, 0, **scene)
    assert scene.w[37] == ran
    scene.w[37] = 1
    scene.seen[:] = [0]
    kernels.of("passes").alone(scene.t)
    assert scene.w[37] == 0


def test_from_the_uplink_python_is_not_asked():
    assert Scene(UPLINK, taken=[2 | 2 << 16], misses_at=[1], begins=[1]).w[37] == 0
