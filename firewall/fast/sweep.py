"""Records of flows, in machine code: when the first of them can have expired. Twin: flows/state.py, idle()."""
import micropython
from micropython import const

_WORDS = const(32)  # of a record; see record.py
_KIND = const(3)
_EGRESS = const(8)
_SEEN = const(11)
_BACK = const(16)
_ICMP_ASSURED = const(2)  # the last state of ICMP: of those one side alone keeps a flow alive


@micropython.viper
def soonest(records: ptr32, timeouts: ptr32, first: int, end: int, now: int) -> int:
    """In how many ms the first of these flows can have expired; below 0: it has; 2**31 - 1: there is no flow."""
    least = 0x7FFFFFFF
    while first < end:
        at = first * _WORDS
        if records[at + _KIND]:
            state = records[at + _EGRESS] >> 16
            rest = now - records[at + _SEEN] & 0xFFFFFFFF
            if state > _ICMP_ASSURED:
                other = now - records[at + _BACK + _SEEN] & 0xFFFFFFFF
                if other < rest:
                    rest = other
            rest = timeouts[state] - rest
            if rest < least:
                least = rest
        first += 1
    return least
