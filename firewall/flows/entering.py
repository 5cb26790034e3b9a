"""Two steps of the flow table that touch many words, in plain Python; machine code does the same (fast/entries.py)."""
import sys

from firewall.flows.record import BACK, EGRESS, GENERATION, KIND, LIFE, SEEN, WORDS
from firewall.flows.state import ICMP_ASSURED

MACHINE_CODE = sys.implementation.name == "micropython"  # else viper's pointers are no names


def write(records, at, there, back, now):
    """Write the record at that word: SRC to GENERATION of each half as given, when it was seen, and else zeros."""
    for half, words in ((at, there), (at + BACK, back)):
        for i in range(BACK):
            records[half + i] = words[i] if i <= GENERATION else 0
        records[half + SEEN] = now


def ended(records, lives, timeouts, first, end, now):
    """The first record from first on and below end whose flow has ended, or end. timeouts: by state, in ms."""
    while first < end:
        at = first * WORDS
        if records[at + KIND]:
            back = at + BACK
            if records[back + GENERATION] != lives[records[back + LIFE]]:
                return first  # its mapping has ended, or who gets it
            state = records[at + EGRESS] >> 16
            limit = timeouts[state]
            if now - records[at + SEEN] & 0xFFFFFFFF > limit:
                if state <= ICMP_ASSURED or now - records[back + SEEN] & 0xFFFFFFFF > limit:
                    return first
        first += 1
    return end


if MACHINE_CODE:
    from firewall.fast import entries

    write, ended = entries.write, entries.ended
