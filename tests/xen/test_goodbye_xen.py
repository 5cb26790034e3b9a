"""Nobody is harmed by our end: what clients have in their rings is answered before it. And a hang is ended.

Linux from 6.18 on warns of each request without an answer when its device goes, and with panic_on_warn dies of it;
where the lab's kernel is older, the ring tells as much.
"""
from tests.host.packets import udp
from tests.xen.site import CLIENTS

FRAMES = [udp(ip, 4000, "192.0.2.1", 53, bytes(size)).hex() for ip, size in zip(CLIENTS, (20, 1000, 1400))]
CLOSING = 5


def _rounds(request, most, few):
    return most if request.config.getoption("--long") else few


def test_a_shutdown_leaves_no_request_unanswered(lab, image, figure, request):
    """Boots: the image that ships, three times (twenty with --long); three frontends in dom0 never stop."""
    slowest = 0
    for n in range(_rounds(request, 20, 3)):
        firewall = lab.domain("firewall", image)
        firewall.wait_for("memory: ", 60)
        found = lab.call("goodbye.shut_down", firewall.domid, FRAMES, timeout=120)
        assert found["why"] == "poweroff"
        assert found["unanswered"] == [0, 0, 0] and found["states"] == [CLOSING] * 3, found
        assert all(set(statuses) <= {"0", "-1", "-2"} for statuses in found["statuses"]), found
        assert all(sent >= 200 for sent in found["sent"])
        slowest = max(slowest, found["seconds"])
        firewall.destroy()
    figure("shutdown under load of three clients, slowest of the rounds", "%.1f s" % slowest, "5 s")
    assert slowest < 5


def test_a_hang_ends_as_crashed(lab, guest):
    """Boots: tests/guest/try_watchdog.py twice: one hangs; one sleeps, and lives, and is paused without a word."""
    hung = guest("try_watchdog", "mode=bare seconds=3")
    hung.wait_for("hangs")
    assert hung.wait_for_end(30) == "watchdog"
    lives = guest("try_watchdog", "mode=on")
    lives.wait_for("is on")
    lab.run(["sleep", "70"], timeout=120)
    assert lives.state() == "running"
    lives.pause()
    lab.run(["sleep", "35"], timeout=120)
    assert lives.state() == "watchdog", "Xen counts while it is paused: docs/life.md"


def test_a_linux_client_that_uploads_sees_no_warning(site, figure, request):
    """Boots: the site with one Linux client; the firewall is shut down and started again while it uploads."""
    work = site.client("work", python=True)
    work.sh("echo 1 > /proc/sys/kernel/panic_on_warn; dmesg -c > /dev/null")
    site.internet.start(["busybox", "nc", "-ll", "-p", "1236", "-e", "/bin/busybox", "sh", "-c", "cat > /dev/null"])
    rounds = _rounds(request, 20, 2)
    # one stream after the other, each until it fails, and datagrams all the time
    work.sh("(while :; do nc 192.0.2.1 1236 < /dev/zero > /dev/null 2>&1; usleep 100000; done) & echo $! > /tmp/pid")
    work.sh("(while :; do head -c 1400 /dev/zero | nc -u -w 1 192.0.2.1 9 > /dev/null 2>&1; done) &"
            "echo $! >> /tmp/pid")
    for _ in range(rounds):
        site.restart_firewall("shutdown")
        assert site.client("work", CLIENTS[0], python=True) is work and work.state() == "running"
    work.sh("for pid in $(cat /tmp/pid); do kill $pid; done; killall nc", check=False)
    said = work.sh("dmesg")
    figure("shut down and started again under upload", "%d times; kernel %s" % (rounds, work.sh("uname -r").strip()))
    assert "WARNING" not in said and "Call Trace" not in said and "BUG" not in said, said[-2000:]
    work.sh("until ping -c 1 -W 1 192.0.2.1 > /dev/null 2>&1; do usleep 50000; done", timeout=60)
