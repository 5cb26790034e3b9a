"""What the bench makes of its figures: ratios, goals, the table, the comparison; the rules that it gives to Linux."""
import argparse
import inspect
import json
import struct
import subprocess

import pytest

from tests.bench import __main__ as bench
from tests.bench import beside, jobs, nftables, table
from tests.xen.errors import LabError

RATE = next(row for row in table.ROWS if row.name == "up_rate")
CPU = next(row for row in table.ROWS if row.name == "up_cpu")


def result(ours, linux, flowtable, name="up_rate"):
    figures = {"ours": {name: ours}, "linux": {name: linux}, "flowtable": {name: flowtable}}
    return {"settings": {"jobs": ["up"]}, "figures": figures, "seconds": 1}


def test_the_yardstick_is_the_better_linux():
    assert table.ratio(result(300, 100, 200), RATE) == 1.5
    assert table.ratio(result(300, 100, 200, "up_cpu"), CPU) == 3.0


def test_a_figure_that_linux_lacks_leaves_the_other():
    assert table.ratio(result(300, 100, None), RATE) == 3.0
    assert table.ratio(result(300, 0, None), RATE) is None
    assert table.ratio(result(None, 100, 200), RATE) is None
    assert table.ratio({"settings": {}, "figures": {"ours": {"up_rate": 1}}}, RATE) is None


@pytest.mark.parametrize("ours, known", [(149, False), (150, True), (151, True), (None, None)])
def test_a_rate_reaches_its_goal_from_below(ours, known):
    assert table.reached(result(ours, 100, 90), RATE) is known


@pytest.mark.parametrize("ours, known", [(44, True), (45, True), (46, False)])
def test_a_cost_reaches_its_goal_from_above(ours, known):
    assert table.reached(result(ours, 100, 110, "up_cpu"), CPU) is known


def test_the_table_shows_both_figures_and_their_ratio():
    text = table.lines(result(300, 1000, None))
    (line,) = [line for line in text if line.startswith("TCP up, 1 stream")]
    assert line.split()[4:] == ["Mbit/s", "300", "1,000", "–", "0.300", "≥", "1.5", "no"]


def test_the_comparison_shows_ours_before_and_the_change():
    def of_rate(earlier):
        return [line for line in table.lines(result(300, 1000, None), earlier) if line.startswith("TCP up, 1 stream")][0]
    assert of_rate(result(200, 1, 1)).endswith("200 (+50.0 %)")
    assert of_rate(result(None, 1, 1)).endswith("–")


def test_an_earlier_result_may_know_other_rows():
    """Rows come and go between two versions of the bench."""
    assert table.lines(result(300, 1000, None), {"settings": {"jobs": []}, "figures": {}})


@pytest.mark.parametrize("value, text", [
    (None, "–"), (0, "0"), (12345.6, "12,346"), (99.96, "100.0"), (3.14159, "3.14"), (0.04567, "0.046")])
def test_numbers_have_three_digits_that_count(value, text):
    assert table.number(value) == text


def test_every_row_has_its_job():
    for row in table.ROWS:
        assert list(inspect.signature(getattr(jobs, row.job)).parameters) == ["machine", "pace"]
    assert set(table.QUICK) < set(table.JOBS) == {row.job for row in table.ROWS}
    assert len({row.name for row in table.ROWS}) == len(table.ROWS)


class Scripted:
    """A machine on which a second passed, with what a test says."""

    def __init__(self, said="", whole=None, **passed):
        self.said, self.passed, self.commands, self.whole = said, passed, None, whole

    def watch(self, commands, warm, seconds):
        self.commands = commands
        counters = dict.fromkeys(("taken", "given", "greeted", "drained", "flooded"), 0)
        asked = ("hypercalls", "copies", "sent", "received", "rx_packets", "tx_packets")
        before = {"all": dict.fromkeys(asked, 7) if self.whole else {}, "ns": 5,
                  "cpu": {"firewall": 10, "netvm": 20, "clients": 30}, "counters": counters,
                  "uplink": dict.fromkeys(("rx_packets", "tx_packets"), 0)}
        after = {"all": {name: 7 + self.whole[name] for name in asked} if self.whole else {}, "ns": 5 + 10 ** 9,
                 "cpu": {"firewall": 10 + 2 * 10 ** 8, "netvm": 20 + 10 ** 8, "clients": 30},
                 "counters": dict(counters, **self.passed), "uplink": {"rx_packets": 20, "tx_packets": 40}}
        return [before, after, [self.said]]


def test_bulk_figures_come_from_what_arrived_between_the_moments():
    found = jobs.up(Scripted(taken=1024 * 100000), jobs.QUICK)
    assert found["up_rate"] == pytest.approx(819.2)
    assert found["up_cpu"] == 2000
    assert found["beside:netvm:up"] == 1000


def test_what_the_image_counts_is_told_for_one_packet():
    """Over all of the run, of which the moments see a part."""
    whole = {"hypercalls": 90, "copies": 510, "sent": 60, "received": 30, "rx_packets": 30, "tx_packets": 90}
    found = jobs.up(Scripted(taken=1024 * 100000, whole=whole), jobs.QUICK)
    assert [found["beside:%s:up" % name] for name in beside.COUNTS] == [3, 17, 2, 1]
    assert found["beside:cpu:up"] == 10 ** 7  # 200 ms for 20 packets
    own = 10 ** 7 - 3 * 5200 - 17 * 9150
    assert found["beside:modelled:up"] == pytest.approx(own * 0.33 + 3 * 1000 + 17 * 300 + 36 * 80)


def test_of_linux_there_are_no_counts():
    found = jobs.up(Scripted(taken=1024 * 100000), jobs.QUICK)
    assert "beside:hypercalls:up" not in found
    text = beside.lines({"settings": {"jobs": ["up"]}, "figures": {"linux": found}})
    assert text[2].split()[5:10] == ["–"] * 4 + ["–"]


def test_the_last_line_that_tells_counts_is_read():
    line = "status: since the start: hypercalls %d, copy operations 2, events sent 3, events received 4\n"
    assert beside.counts("boot\n" + line % 1 + line % 9) == {"hypercalls": 9, "copies": 2, "sent": 3, "received": 4}
    assert beside.counts("boot\n") is None


def test_nothing_that_arrived_is_no_figure():
    found = jobs.down(Scripted(taken=1024 * 100000), jobs.QUICK)
    assert found["down_rate"] is None and found["down_cpu"] is None


def test_a_flood_downwards_is_what_the_client_received():
    found = jobs.flood_down(Scripted("datagrams 4000 ns 500000000\n"), jobs.QUICK)
    assert found["flood_down_rate"] == 8000
    assert found["flood_down_cpu"] == 50000


class Paired(Scripted):
    """A scripted machine with two clients."""

    def __init__(self, said):
        super().__init__(said)
        self.clients = [self.client("10.137.0.20"), self.client("10.137.0.21")]
        self.allowed, self.typed = [], []

    def client(self, ip):
        return argparse.Namespace(ip=ip, sh=lambda text: self.typed.append((ip, text)) or "77\n")

    def allow(self, sender, receiver):
        self.allowed.append((sender.ip, receiver.ip))


def test_from_client_to_client_counts_what_the_sender_says():
    """The one sends, by a pair that is allowed in this direction; the other serves, and is stopped."""
    machine = Paired("octets 102400000 ns 2000000000\n")
    found = jobs.pair(machine, jobs.QUICK)
    assert found == {"pair_rate": pytest.approx(409.6), "pair_cpu": 2000}
    assert machine.allowed == [("10.137.0.20", "10.137.0.21")]
    assert machine.commands == {0: "traffic up 10.137.0.21 1 1"}
    assert [ip for ip, _ in machine.typed] == ["10.137.0.21"] * 2 and machine.typed[1][1] == "kill 77"
    assert jobs.pair(Paired("octets 0 ns 2000000000\n"), jobs.QUICK) == {"pair_rate": None, "pair_cpu": None}


def test_pings_beside_a_load_that_stands_still_are_none():
    said = "pings 100 answered 98 mean 500000 p50 1 p99 900000 worst 1 ns 1\n"
    assert jobs.ping_busy(Scripted(said, taken=10), jobs.QUICK)["ping_busy"] is None
    found = jobs.ping_busy(Scripted(said, taken=10 ** 8), jobs.QUICK)
    assert (found["ping_busy"], found["ping_busy_p99"], found["beside:lost:ping_busy"]) == (0.5, 0.9, 2)


@pytest.mark.parametrize("rule, statements", [
    ("action=accept", ["accept"]),
    ("action=drop dst4=203.0.113.7/32 proto=tcp dstports=80-90",
     ["ip daddr 203.0.113.7/32 tcp dport 80-90 reject with icmp type admin-prohibited"]),
    ("action=accept dstports=53-53", ["tcp dport 53 accept", "udp dport 53 accept"]),
    ("action=accept proto=icmp", ["meta l4proto icmp accept"]),
    ("action=accept specialtarget=dns", ["ip daddr { 10.139.1.1, 10.139.1.2 } %s dport 53 accept" % name
                                         for name in ("tcp", "udp")]),
])
def test_linux_gets_the_same_rules(rule, statements):
    assert nftables.statement(rule) == statements


def test_a_rule_that_linux_would_not_get_is_an_error():
    with pytest.raises(ValueError, match="dsthost"):
        nftables.statement("action=accept dsthost=example.com")


def test_rules_end_with_the_policy_and_fit_the_console():
    typed = []
    database = nftables.Nftables(argparse.Namespace(sh=lambda command, timeout=0: typed.append(command)))
    database.commit("10.137.0.20", ["action=drop dst4=203.0.113.%d/32" % i for i in range(200)])
    text = "".join(typed)
    assert text.count("ip daddr 203.0.113.") == 200 and max(map(len, typed)) < 4096
    assert text.rindex("qbs-10-137-0-20 reject with icmp type admin-prohibited") > text.rindex("203.0.113.199")
    assert text.count("saddr 10.137.0.20 jump") == 1
    database.commit("10.137.0.20", ["action=accept"])
    assert "".join(typed).count("saddr 10.137.0.20 jump") == 1  # the jump stays


class Pretended:
    """A machine on which uploads fail, and nothing runs."""

    def __init__(self, clients, memory, untrusted):
        self.closed = False
        Pretended.last = self

    def use(self, variant):
        self.variant = variant

    def close(self):
        self.closed = True


def test_a_job_that_fails_is_told_and_costs_its_own_figures_only(monkeypatch, capsys):
    def up(machine, pace):
        raise LabError("it stands still")
    monkeypatch.setattr(bench, "Machine", Pretended)
    monkeypatch.setattr(bench, "digest", lambda path: "0")
    monkeypatch.setattr(jobs, "up", up)
    monkeypatch.setattr(jobs, "down", lambda machine, pace: {"down_rate": 7.0})
    words = argparse.Namespace(jobs=["down", "up"], firewalls=["ours", "linux"], quick=True, trusted=False)
    found = bench.measure(words)
    assert found["figures"] == {"ours": {"down_rate": 7.0}, "linux": {"down_rate": 7.0}}
    assert found["failed"] == ["ours: up: it stands still", "linux: up: it stands still"]
    assert Pretended.last.closed and "1 of 7" in capsys.readouterr().out


def test_an_unknown_job_is_named(capsys):
    with pytest.raises(SystemExit):
        bench._chosen(argparse.ArgumentParser(), "up,sideways", table.JOBS)
    assert "'sideways'" in capsys.readouterr().err


def test_the_picture_is_a_png(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(result(300, 1000, None)))
    bench.draw(str(tmp_path / "result.json"), str(tmp_path / "result.png"))
    head = (tmp_path / "result.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", head[16:])) > 100


def test_the_programs_compile_and_say_how_they_are_used(tmp_path):
    from tests.bench import tools

    (tmp_path / "traffic").write_bytes(tools.program("traffic"))
    (tmp_path / "traffic").chmod(0o755)
    done = subprocess.run([tmp_path / "traffic"], stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stderr) == (2, "usage: see the head of traffic.c\n")
    assert tools.program("serve")[:4] == b"\x7fELF"
