"""What the loop is told behind a pass in machine code, as plain Python: another pass, a rest, or Python's turn."""
import kernels
import pytest

SOME, ANSWERED, HOLDING, WAITING, ROOM, WHO = 1, 0x10000, 0x20000, 0x40000, 0x80000, 22
MORE, ASKED = 0x100000, 0x200000
WHOLE, REST, ANSWERS, HELD, PACKETS, FAILED, TURN = range(7)


def served(how=WHOLE, seen=0, ran=0, left=REST, rests=6, done=0, at_rest=0, waits=0):
    """What serve() says when its pass ends so, the words behind it, and how often nobody had anything."""
    passes = kernels.of("passes")
    words = [0] * 24 + kernels.block(kernels.block([0, 1, 2, 3, rests, 5])) + [0] * 16
    words[0], words[3], words[30], words[37], words[39], words[41] = seen, done, left, ran, at_rest, waits
    tables = [None, None, None, None, words]

    def alone(given):
        assert given is tables
        return how

    passes.alone = alone
    return passes.serve(tables), words, (words[24] | words[25] << 32)[0].memory


@pytest.mark.parametrize("how", [REST, ANSWERS, HELD, PACKETS, FAILED, TURN])
@pytest.mark.parametrize("ran, seen", [(0, 0), (1, SOME), (0, HOLDING)])
def test_a_pass_that_stopped_is_left_to_python_which_is_told_where(how, ran, seen):
    said, words, circle = served(how, seen, ran, WHOLE)
    assert said == -1 and words[30] == how and circle[4] == 6


@pytest.mark.parametrize("seen", [HOLDING, WAITING, ASKED, HOLDING | SOME, WAITING | ANSWERED, ASKED | MORE])
@pytest.mark.parametrize("ran", [0, 1])
def test_what_a_whole_pass_has_seen_for_python_is_left_to_it(seen, ran):
    """It begins with another pass, as nothing is left of this one."""
    said, words, circle = served(WHOLE, seen, ran, WHOLE)
    assert said == -1 and words[30] == WHOLE and circle[4] == 6


@pytest.mark.parametrize("seen", [0, SOME, ANSWERED, MORE, ROOM])
def test_when_python_has_run_tasks_are_looked_at(seen):
    said, _, circle = served(WHOLE, seen, 1)
    assert said == -4 and circle[4] == 6


@pytest.mark.parametrize("done, at_rest, said", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, -4)])
def test_python_is_told_of_the_first_thing_done_behind_a_rest(done, at_rest, said):
    """It has the tick look again."""
    assert served(WHOLE, 0, done=done, at_rest=at_rest)[0] == said
    assert served(WHOLE, SOME, done=done, at_rest=at_rest)[0] == (said or 1)
    assert served(WHOLE, HOLDING, done=done, at_rest=at_rest)[0] == -1


@pytest.mark.parametrize("seen", [SOME, 0xFFFF | ROOM, ANSWERED, MORE, 0x8000])
def test_another_pass_follows_while_there_is_something(seen):
    said, _, circle = served(WHOLE, seen)
    assert said == 1 and circle[4] == 6


@pytest.mark.parametrize("seen", [0, ROOM, 5 << WHO])
@pytest.mark.parametrize("rests, after", [(6, 7), (0xFFFF, 0)])
def test_when_nobody_has_anything_it_is_a_rest(seen, rests, after):
    said, _, circle = served(WHOLE, seen, rests=rests)
    assert said == 0 and circle[4] == after


@pytest.mark.parametrize("seen", [SOME, ROOM, 5 << WHO | 2])
def test_so_it_is_while_clients_wait_for_room(seen):
    said, _, circle = served(WHOLE, seen, waits=1)
    assert said == 0 and circle[4] == 7
    assert served(WHOLE, seen, waits=1, done=1, at_rest=1)[0] == -4
    assert served(WHOLE, seen | ASKED, waits=1)[0] == -1
