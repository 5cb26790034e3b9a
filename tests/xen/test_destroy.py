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
    """Boots: tests/guest/pingpong.py. dom0's end of the channel does not keep it, and closes after it."""
    asker = guest("pingpong", "peer=0 rounds=1000000 way=loop")
    asker.wait_for("pingpong: port")
    log = "/tmp/answers.%d" % asker.domid
    pid = lab.start(["python3", "/steps/evtchn.py", "answer", str(asker.domid), asker.store_read("data/port"), "1000000"], log)
    asker.wait_for("pingpong: 1000 rounds", 300)
    asker.destroy()
    assert asker.wait_for_end(10) == "gone"
    lab.run(["kill", str(pid)])
    lab.run(["sh", "-c", "while [ -e /proc/%d/fd/0 ]; do usleep 20000; done" % pid], timeout=300)
