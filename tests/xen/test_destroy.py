"""`xl destroy` in the middle of anything leaves the lab, and every other domain, as it was."""
from tests.xen.conftest import both_daemons


@both_daemons
def test_destroyed_in_the_middle(lab, guest, image):
    """Boots: tests/guest/busy.py six times, destroyed after different times; beside it the image that ships."""
    witness = lab.domain("witness", image)
    witness.wait_for("memory: ")
    for n in range(6):
        victim = guest("busy")
        if n % 2:
            victim.wait_for("busy: under way")
        lab.run(["usleep", str(7000 * n)])
        victim.destroy()
        assert victim.wait_for_end(10) == "gone"
    assert witness.state() == "running"
    witness.shutdown()
    assert witness.wait_for_end(5) == "poweroff"
    last = lab.domain("last", image)
    last.wait_for("memory: ")
    names = lab.run("xl list")
    assert "last" in names and "busy" not in names


def test_destroyed_while_dom0_holds_its_port(lab, guest):
    """Boots: tests/guest/pingpong.py. dom0's end of the channel must learn of the end, not hang."""
    asker = guest("pingpong", "peer=0 rounds=1000000 way=loop")
    asker.wait_for("pingpong: port")
    port = int(asker.store_read("data/port"))
    lab.start(["python3", "-c", "import sys; sys.path.insert(0, '/steps'); import evtchn; print(evtchn.answer(%d, %d, 1000000, 20))"
               % (asker.domid, port)], "/tmp/answer.log")
    lab.run("sleep 2")
    asker.destroy()
    assert asker.wait_for_end(10) == "gone"
    assert lab.await_text("/tmp/answer.log", "\n", 30) is not None
