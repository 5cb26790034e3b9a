"""Amounts, times, bars and cut texts for a screen of characters."""

BLOCKS = " ▁▂▃▄▅▆▇█"
PARTS = " ▏▎▍▌▋▊▉█"


def amount(octets):
    """Octets in at most 7 characters: 999 B, 12.4 kB, 1.2 GB."""
    if octets < 1000:
        return "%d B" % octets
    value = float(octets)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        value /= 1000
        if value < 99.95:
            return "%.1f %s" % (value, unit)
        if value < 999.5:
            return "%.0f %s" % (value, unit)
    return "much"


def span(ms):
    """A time in at most 6 characters: 4 s, 12 min, 3 h, 9 d."""
    seconds = ms // 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds


def count(value):
    """A count in at most 5 characters."""
    return str(value) if value < 100000 else "%dk" % (value // 1000) if value < 10000000 else "%dM" % (value // 1000000)


def bar(value, most, width):
    """A bar of a value; the least that is more than nothing shows."""
    eighths = 0 if most <= 0 else min(width * 8, -(-value * width * 8 // most))
    made = PARTS[8] * (eighths // 8) + (PARTS[eighths % 8] if eighths % 8 else "")
    return made.ljust(width)


def spark(values, least=1):
    """A column for each value, against the largest of them or `least`; the least that is more than nothing shows."""
    most = max(values + [least, 1])
    return "".join(BLOCKS[-(-value * 8 // most)] for value in values)


def cut(text, width):
    """Exactly width characters: filled up, or cut with a mark."""
    return text.ljust(width) if len(text) <= width else text[: max(width - 1, 0)] + ("…" if width else "")


def middle(text, width):
    """As cut(), but both ends are kept: names of qubes differ at their ends."""
    left = (width - 1) * 3 // 5
    return cut(text, width) if len(text) <= width or width < 4 else text[:left] + "…" + text[left + 1 - width :]


def end(text, width):
    """As cut(), but the end is kept: of a host's name that says whose it is; anybody can choose what precedes it."""
    return text.ljust(width) if len(text) <= width else ("…" if width else "") + text[len(text) - max(width - 1, 0) :]


def right(text, width):
    return text.rjust(width) if len(text) <= width else cut(text, width)


def fit(line, width):
    """A line's pieces, cut to a width."""
    made, left = [], width
    for text, style in line:
        if left <= 0:
            break
        made.append((text if len(text) <= left else cut(text, left), style))
        left -= len(text)
    return made
