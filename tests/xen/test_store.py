"""The xenstore client against the real daemons."""
from tests.xen.conftest import both_daemons


@both_daemons
def test_reads_writes_and_watches(lab, guest):
    """Boots: tests/guest/store_talk.py."""
    talker = guest("store_talk")
    talker.wait_for("store: domain %d, [" % talker.domid)
    talker.wait_for("\n", after=talker.wait_for("store: domain"))
    assert "shutdown" in talker.console()
    for word in ("one", "two", "3" * 1000):
        talker.store_write("data/ask", word)
        talker.wait_for("store: asked " + word)
        assert lab.call("store.wait_value", talker.store("data/answer"), word + "!", 10) == word + "!"
    assert talker.store_read("data/hello") == "from %d" % talker.domid
    talker.store_write("data/ask", "end")
    assert talker.wait_for_end(5) == "poweroff"
    talker.wait_for("store: asked end")  # xenconsoled may have to read the last line still
