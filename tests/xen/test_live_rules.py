"""Rules that change while packets flow: integration 031 of Qubes' own network tests, and how fast a commit counts."""
import re

CLIENT = "10.137.0.20"
DENIED, ALLOWED = 5001, 5002
SECONDS = 3  # that the denied stream is watched for
# packets of both streams that come in at the client's interface
_COUNT = ("/load router > /dev/null 2>&1; nft add table ip seen; nft add chain ip seen arriving '{ type filter hook prerouting priority -300; }'; "
          "nft add rule ip seen arriving tcp sport %d counter; nft add rule ip seen arriving tcp sport %d counter; sleep %d; "
          "nft list table ip seen; nft delete table ip seen")


def _stream(site, client, remote, port):
    """A TCP connection on which both sides say something every 50 ms, for ever. What the client hears is in /tmp/PORT."""
    site.internet.start(["nc", "-l", "-p", str(port), "-e", "sh", "-c", "while :; do echo tock; usleep 50000; done"])
    site.internet.await_port(port)
    client.sh("(while :; do echo tick; usleep 50000; done) | nc %s %d > /tmp/%d 2>&1 &" % (remote, port, port))
    client.sh("until [ $(wc -c < /tmp/%d) -gt 50 ]; do usleep 50000; done" % port, timeout=30)


def _heard(client):
    """Octets that the client has heard on (the denied stream, the allowed one)."""
    return [int(n) for n in client.sh("cd /tmp; cat %d | wc -c; cat %d | wc -c" % (DENIED, ALLOWED)).split()]


def test_a_commit_stops_one_stream_and_the_other_goes_on(site, figure):
    """Boots: the site with one client. Seen at the netvm's interface, at the client's, and in what the client hears."""
    work = site.client("work", CLIENT)
    _stream(site, work, "192.0.2.1", DENIED)
    _stream(site, work, "192.0.2.2", ALLOWED)
    rules = ["action=drop dst4=192.0.2.1/32 proto=tcp dstports=%d-%d" % (DENIED, DENIED), "action=accept"]
    seen = site.lab.call("live.stream_after_commit", site.firewall.domid, site.uplink, CLIENT, rules, DENIED, SECONDS)
    heard = _heard(work)
    figure("stream denied by a commit: in force after", "%.0f ms, %d packets leaked" % (1000 * seen["handled"], seen["leaked"]),
           "100 ms, 0")
    assert seen["before"] > 10
    assert seen["leaked"] == 0
    assert seen["came"] > 0  # the other end goes on sending: the way back was tried too
    # the netvm's end repeats itself: none of it reaches the client
    said = work.sh(_COUNT % (DENIED, ALLOWED, SECONDS), timeout=30)
    denied, allowed = map(int, re.findall(r"packets (\d+)", said))
    assert denied == 0 and allowed > 20
    then = _heard(work)
    assert then[0] == heard[0]
    assert then[1] > heard[1] + 100
    work.sh("killall nc")


def test_50_rules_from_commit_to_effect_on_the_wire(site, figure):
    """Boots: the site with one client, which pings without pause. Both ways: a verdict that opens and one that closes."""
    work = site.client("work", CLIENT)
    others = ["action=accept dst4=198.51.100.%d/32 proto=tcp dstports=%d-%d" % (i, i + 1, i + 100) for i in range(49)]
    opened, closed = others + ["action=accept proto=icmp"], others + ["action=drop proto=icmp"]
    site.set_rules(CLIENT, closed)
    work.sh("ping -i 0.005 192.0.2.1 > /dev/null 2>&1 &")
    opens, closes = [], []
    for _ in range(3):
        opens.append(site.lab.call("live.opens_after", site.firewall.domid, site.uplink, CLIENT, opened, 1.0))
        closes.append(site.lab.call("live.closes_after", site.firewall.domid, site.uplink, CLIENT, closed, 1.0))
    figure("50 rules, from commit to the first packet let out", _range(opens), "100 ms")
    figure("50 rules, from commit to the last packet let out", _range(closes), "100 ms")
    work.sh("killall ping")
    assert max(opens) < 0.1
    assert max(closes) < 0.1


def _range(times):
    return "%.0f to %.0f ms" % (1000 * min(times), 1000 * max(times))
