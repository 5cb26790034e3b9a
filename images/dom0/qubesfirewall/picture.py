"""The last hour as an SVG picture: which qube talked to whom, and when. Text in, text out.

Left the qubes, right the other ends, a band between them as wide as what was carried; below, each qube's minutes.
"""

import html

from . import streams, texts

WIDTH, LEFT, RIGHT, BAND = 1000, 190, 690, 400
ENDS, QUBES = 12, 10  # shown; what is less is summed up
MINUTES = 60
# after Okabe and Ito: told apart also by who sees no red or no green; next to each other they differ in brightness too
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#6b5b3e", "#f0e442", "#332288", "#999999")
OTHERS = "all others"
REST = "short connections"  # what no flow was seen of


def draw(minutes, localtime):
    """The picture of {minute: {(firewall, qube): {end: (down, up)}}}. localtime: as in time, for the clock's labels."""
    pairs, series, last = _sums(minutes)
    if not pairs:
        return _page(140, _text(30, 40, "Nothing was carried in the last hour", 20, "bold"))
    begin = last - MINUTES + 1
    clock = ["%02d:%02d" % localtime(60 * each)[3:5] for each in (begin, begin + 15, begin + 30, begin + 45, last + 1)]
    qubes, ends = _order(pairs, 0, QUBES), _order(pairs, 1, ENDS)
    bands, height = _bands(pairs, qubes, ends)
    title = _text(30, 38, "Who talked to whom, %s to %s" % (clock[0], clock[-1]), 22, "bold")
    title += _text(
        30,
        60,
        "A band is as wide as what was carried, both ways together: %s in all" % texts.amount(sum(pairs.values())),
        13,
    )
    below = 96 + height
    return _page(below + 210, title + _group(0, 84, bands) + _group(0, below, _curves(series, qubes, begin, clock)))


def _sums(minutes):
    """({(qube, end): octets}, {qube: [octets of each minute]}, the last minute) of the last hour."""
    pairs, series = {}, {}
    last = max(minutes) if minutes else 0
    firewalls = {firewall for told in minutes.values() for firewall, _ in told}
    for minute, told in minutes.items():
        if minute <= last - MINUTES:
            continue
        for (_, qube), ends in told.items():
            if qube in firewalls:
                continue  # what it carries is told by itself, qube by qube
            for end, (down, up) in ends.items():
                if down + up:
                    pair = streams.clean(qube, 24), streams.clean(end, 60) or REST
                    pairs[pair] = pairs.get(pair, 0) + down + up
                    series.setdefault(pair[0], [0] * MINUTES)[minute - last - 1] += down + up
    return pairs, series, last


def _order(pairs, side, most):
    """[(name, octets)] of one side, the largest first; what is beyond `most` is OTHERS."""
    sums = {}
    for pair, octets in pairs.items():
        sums[pair[side]] = sums.get(pair[side], 0) + octets
    ordered = sorted(sums.items(), key=lambda each: (-each[1], each[0]))
    if len(ordered) > most:
        ordered = ordered[: most - 1] + [(OTHERS, sum(octets for _, octets in ordered[most - 1 :]))]
    return ordered


def _places(ordered, scale):
    """{name: [y, height, y where the next band begins]} and the height of all."""
    places, y = {}, 0.0
    for name, octets in ordered:
        height = max(octets * scale, 2.0)
        places[name] = [y, height, y]
        y += max(height, 16.0) + 8
    return places, y


def _bands(pairs, qubes, ends):
    scale = BAND / sum(pairs.values())
    left, high = _places(qubes, scale)
    right, deep = _places(ends, scale)
    joined = {}
    for (qube, end), octets in pairs.items():
        key = qube if qube in left else OTHERS, end if end in right else OTHERS
        joined[key] = joined.get(key, 0) + octets
    made = []
    rank = {name: number for number, (name, _) in enumerate(ends)}
    order = {name: number for number, (name, _) in enumerate(qubes)}
    for (qube, end), octets in sorted(joined.items(), key=lambda each: (order[each[0][0]], rank[each[0][1]])):
        width = max(octets * scale, 1.0)
        a, b = left[qube], right[end]
        made.append(_band(a[2], b[2], width, _colour(order[qube]), "%s and %s: %s" % (qube, end, texts.amount(octets))))
        a[2] += width
        b[2] += width
    for places, ordered, x, labels, anchor in (
        (left, qubes, LEFT - 12, LEFT - 20, "end"),
        (right, ends, RIGHT, RIGHT + 20, "start"),
    ):
        for name, octets in ordered:
            y, height, _ = places[name]
            colour = _colour(order[name]) if anchor == "end" else "#555555"
            made.append('<rect x="%d" y="%.1f" width="12" height="%.1f" fill="%s"/>' % (x, y, height, colour))
            shown = _short(name) if anchor == "end" else texts.end(name, 36).rstrip()
            label = _text(labels, y + max(height, 12) / 2 + 4, shown, 13, "", anchor)
            size = '<tspan dx="8" fill="#777777">%s</tspan></text>' % texts.amount(octets)
            made.append(label[: -len("</text>")] + size)
    return "".join(made), max(high, deep)


def _band(y1, y2, width, colour, title):
    middle = (LEFT + RIGHT) / 2
    path = "M%d,%.1f C%d,%.1f %d,%.1f %d,%.1f L%d,%.1f C%d,%.1f %d,%.1f %d,%.1f Z" % (
        LEFT,
        y1,
        middle,
        y1,
        middle,
        y2,
        RIGHT,
        y2,
        RIGHT,
        y2 + width,
        middle,
        y2 + width,
        middle,
        y1 + width,
        LEFT,
        y1 + width,
    )
    return '<path d="%s" fill="%s" fill-opacity="0.45"><title>%s</title></path>' % (path, colour, html.escape(title))


def _curves(series, qubes, begin, clock):
    """Columns of each minute, qubes on top of each other."""
    left, right, high = 100, 940, 120
    step = (right - left) / MINUTES
    sums = [sum(each[minute] for each in series.values()) for minute in range(MINUTES)]
    most = max(sums)
    made = [
        _text(30, 0, "When", 15, "bold"),
        _text(86, 0, "octets a second, minute by minute; each qube in its colour from above", 13),
        _text(left - 8, 26, texts.amount(most // 60) + "/s", 12, "", "end"),
        _text(left - 8, 20 + high, "0", 12, "", "end"),
    ]
    known = [name for name, _ in qubes]
    for minute in range(MINUTES):
        y = 20.0 + high
        for number, name in enumerate(known):
            names = [name] if name != OTHERS else [each for each in series if each not in known]
            tall = sum(series[each][minute] for each in names if each in series) * high / most
            if tall:
                y -= tall
                made.append(
                    '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>'
                    % (left + minute * step, y, step - 1.5, tall, _colour(number))
                )
    made.append('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#999999"/>' % (left, 20 + high, right, 20 + high))
    for number, label in enumerate(clock):
        made.append(_text(left + number * (right - left) / 4, 38 + high, label, 12, "", "middle"))
    return "".join(made)


def _colour(number):
    return COLOURS[number % len(COLOURS)]


def _short(name):
    return name if len(name) <= 30 else name[:14] + "…" + name[-15:]


def _text(x, y, text, size, weight="", anchor="start"):
    return '<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s"%s>%s</text>' % (
        x,
        y,
        size,
        anchor,
        ' font-weight="%s"' % weight if weight else "",
        html.escape(text),
    )


def _group(x, y, made):
    return '<g transform="translate(%d,%d)">%s</g>' % (x, y, made)


def _page(height, made):
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
        'font-family="sans-serif" fill="#222222">'
        '<rect width="100%%" height="100%%" fill="#ffffff"/>%s</svg>\n'
    ) % (WIDTH, height, WIDTH, height, made)
