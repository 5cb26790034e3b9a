"""What a log line looks like, and how many a subsystem may write. Pure: time comes in as an argument."""
from micropython import const

ERROR = const(0)
WARNING = const(1)
INFO = const(2)
DEBUG = const(3)
NAMES = ("error", "warning", "info", "debug")

TEXT_MAX = const(300)  # octets of text in a line, after escaping; the console's ring holds 2048
_NS = const(1000000000)
_DAYS_0000_TO_1970 = const(719468)  # in a calendar whose years begin on 1 March
_DAYS_400_YEARS = const(146097)


def timestamp(wall_ns):
    """UNIX time in ns -> "2026-11-21T04:30:00.123Z"."""
    seconds = wall_ns // _NS
    days = seconds // 86400 + _DAYS_0000_TO_1970
    era, day = divmod(days, _DAYS_400_YEARS)
    # leap days pushed out: one after 4 years (1461 days) but the 100th, none of which in the last year of the era
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153  # 0 is March; months of 31, 30, 31, 30, 31 days
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    month += 3 if month < 10 else -9
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (
        year,
        month,
        day + 1,
        seconds // 3600 % 24,
        seconds // 60 % 60,
        seconds % 60,
        wall_ns // 1000000 % 1000,
    )


def printable(text, limit=TEXT_MAX):
    """Text (str or bytes, a peer's perhaps) as printable ASCII of at most limit octets.

    Every other octet, ESC and newline included, becomes \\xNN. What is too long ends in "...".
    """
    octets = text.encode() if isinstance(text, str) else bytes(text)
    out = bytearray()
    for octet in octets:
        if 0x20 <= octet < 0x7F:
            out.append(octet)
        else:
            out += b"\\x%02x" % octet
        if len(out) > limit:
            return out[: limit - 3].decode() + "..."
    return out.decode()


def line(wall_ns, level, subsystem, text):
    """The whole line with its newline, as bytes."""
    return ("%s %s %s: %s\n" % (timestamp(wall_ns), NAMES[level], subsystem, printable(text))).encode()


class Limit:
    """How many lines one subsystem may write: BURST at once, then one in PERIOD_NS; the last RESERVE only for errors.

    What is refused is counted, and the count is due when there was quiet for CALM_NS, or after REPORT_NS in an
    endless flood.
    """

    BURST = 30  # lines; a console ring holds about 20
    RESERVE = 10  # lines
    PERIOD_NS = 500000000
    CALM_NS = 2000000000
    REPORT_NS = 60000000000

    def __init__(self, now):
        self.tokens = self.BURST
        self.filled = now  # when tokens was last brought up to date
        self.suppressed = 0
        self.first = 0  # when the first of the suppressed was refused
        self.last = 0  # and the last

    def allow(self, now, level):
        """Whether a line of this level may be written now; if not, it is counted."""
        gained = (now - self.filled) // self.PERIOD_NS
        if self.tokens + gained >= self.BURST:
            self.tokens = self.BURST
            self.filled = now
        else:
            self.tokens += gained
            self.filled += gained * self.PERIOD_NS
        if self.tokens > (0 if level == ERROR else self.RESERVE):
            self.tokens -= 1
            return True
        if self.suppressed == 0:
            self.first = now
        self.suppressed += 1
        self.last = now
        return False

    def due(self, now):
        """How many refused lines are to be reported now; they are then forgotten. Mostly 0."""
        n = self.suppressed
        if n and (now - self.last >= self.CALM_NS or now - self.first >= self.REPORT_NS):
            self.suppressed = 0
            return n
        return 0
