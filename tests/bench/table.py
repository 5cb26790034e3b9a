"""The bench's rows, what each is to reach, and how figures become a table.

A result is what is kept as JSON: {"settings": {...}, "figures": {variant: {figure: value or None}}, "seconds": n}.
"""
from collections import namedtuple

LESS, MORE = "less", "more"
OURS, OTHERS = "ours", ("linux", "flowtable")
# name: of the figure; job: in jobs.py; better: LESS or MORE; goal: of the ratio ours to the better of the others,
# None: none set; beside: the name its columns have
Row = namedtuple("Row", "name title unit job better goal beside")


def _row(name, title, unit, job, better, goal, beside=None):
    return Row(name, title, unit, job, better, goal, beside or job)


ROWS = (
    _row("up_cpu", "firewall CPU, TCP up", "ns/KiB", "up", LESS, 0.45),
    _row("down_cpu", "firewall CPU, TCP down", "ns/KiB", "down", LESS, 0.75),
    _row("up_rate", "TCP up, 1 stream", "Mbit/s", "up", MORE, 1.5),
    _row("down_rate", "TCP down, 1 stream", "Mbit/s", "down", MORE, 1.12),
    _row("up8_rate", "TCP up, 8 streams, 4 clients", "Mbit/s", "up8", MORE, 1.5),
    _row("down8_rate", "TCP down, 8 streams, 4 clients", "Mbit/s", "down8", MORE, 1.12),
    _row("flood_up_rate", "UDP 64 octets, received, up", "1/s", "flood_up", MORE, 1.2),
    _row("flood_down_rate", "UDP 64 octets, received, down", "1/s", "flood_down", MORE, 1.2),
    _row("flood_up_cpu", "firewall CPU, 64 octets, flood up", "ns each", "flood_up", LESS, 0.65),
    _row("flood_down_cpu", "firewall CPU, 64 octets, flood down", "ns each", "flood_down", LESS, 0.65),
    _row("slow_cpu", "firewall CPU, 64 octets, 2,000/s up", "ns each", "slow", LESS, 0.65),
    _row("begin_cpu", "firewall CPU, UDP, each a new flow", "ns each", "begin", LESS, None),
    _row("connect10_rate", "new TCP connections, 10 rules", "1/s", "connect10", MORE, 1.0),
    _row("connect10_cpu", "firewall CPU, connection, 10 rules", "us each", "connect10", LESS, 0.6),
    _row("connect200_rate", "new TCP connections, 200 rules", "1/s", "connect200", MORE, 1.0),
    _row("connect200_cpu", "firewall CPU, connection, 200 rules", "us each", "connect200", LESS, 0.6),
    _row("ping_idle", "ping, idle, mean", "ms", "ping_idle", LESS, 1.0),
    _row("ping_idle_p99", "ping, idle, 99th percentile", "ms", "ping_idle", LESS, 1.0),
    _row("ping_busy", "ping, TCP up meanwhile, mean", "ms", "ping_busy", LESS, 1.0),
    _row("ping_busy_p99", "ping, TCP up meanwhile, 99th pct.", "ms", "ping_busy", LESS, 1.0),
    _row("pair_rate", "TCP client to client, 1 stream", "Mbit/s", "pair", MORE, 1.25),
    _row("pair_cpu", "firewall CPU, client to client", "ns/KiB", "pair", LESS, None),
    _row("idle", "firewall CPU, idle, a few flows", "ms/s", "idle", LESS, 0.3),
    _row("start", "unpause to first forwarded ping", "s", "start", LESS, 0.025),
    _row("up24_rate", "TCP up, ours in 24 MB", "Mbit/s", "small", MORE, None),
    _row("down24_rate", "TCP down, ours in 24 MB", "Mbit/s", "small", MORE, None),
    _row("flows", "flows, of 65,536 asked for", "", "flows", MORE, None),
)
# in the order in which they are done: what leaves many flows comes late
JOBS = ("idle", "ping_idle", "ping_busy", "up", "down", "up8", "down8", "slow", "flood_up", "flood_down",
        "begin", "connect10", "connect200", "pair", "start", "small", "flows")
QUICK = ("idle", "ping_idle", "up", "down", "slow", "flood_up", "connect10")


def rows_of(jobs):
    return [row for row in ROWS if row.job in jobs]


def figure(result, variant, name):
    """None if it was not measured, or nothing arrived."""
    return result["figures"].get(variant, {}).get(name)


def yardstick(result, row):
    """The better of the others' figures; None without any."""
    values = [figure(result, variant, row.name) for variant in OTHERS]
    values = [value for value in values if value is not None]
    return (min if row.better == LESS else max)(values, default=None)


def ratio(result, row):
    """Ours to the better one of the others; None if there is no such figure."""
    ours, other = figure(result, OURS, row.name), yardstick(result, row)
    return None if ours is None or not other else ours / other


def reached(result, row):
    """Whether the ratio is what it is to be; None if nobody can say."""
    value = ratio(result, row)
    if value is None or row.goal is None:
        return None
    return value <= row.goal if row.better == LESS else value >= row.goal


def number(value):
    """With three or four digits that count; a dash where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == 0:
        return "{:,.0f}".format(value)
    return "%.1f" % value if abs(value) >= 10 else "%.2f" % value if abs(value) >= 1 else "%.3f" % value


def _goal(row):
    return "" if row.goal is None else ("≤ " if row.better == LESS else "≥ ") + "%g" % row.goal


def lines(result, earlier=None):
    """The table as text. earlier: a result to compare ours with."""
    heads = ["row", "unit", "ours", "Linux", "flowtable", "ratio", "goal", ""]
    body = []
    for row in rows_of(result["settings"]["jobs"]):
        known = reached(result, row)
        cells = [row.title, row.unit] + [number(figure(result, variant, row.name)) for variant in (OURS,) + OTHERS]
        cells += [number(ratio(result, row)), _goal(row), "" if known is None else "yes" if known else "no"]
        body.append(cells + ([change(result, earlier, row)] if earlier else []))
    return aligned(heads + (["ours, before"] if earlier else []), body)


def change(result, earlier, row):
    """Ours before, and by how much it is more now."""
    now, before = figure(result, OURS, row.name), figure(earlier, OURS, row.name)
    if now is None or not before:
        return number(before)
    return "%s (%+.1f %%)" % (number(before), 100 * (now - before) / before)


def aligned(heads, body):
    """Columns of text: the first two to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [heads] + body) for i in range(len(heads))]
    def line(cells):
        padded = [cell.ljust(widths[i]) if i < 2 else cell.rjust(widths[i]) for i, cell in enumerate(cells)]
        return "  ".join(padded).rstrip()
    return [line(heads), "  ".join("-" * width for width in widths)] + [line(cells) for cells in body]
