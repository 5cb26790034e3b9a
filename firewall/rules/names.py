"""What the host names in rules (dsthost) resolve to. matcher.RuleList asks; who is asked is given to seal().

    addresses(host)   a tuple of ints; () if the name does not exist; None for no answer
    epoch(now)        an int that is another one whenever some addresses() may have another result; now: in ms

`host` is as the rule has it, in lower case and without a final dot. Both are called while a packet is judged, so
neither may wait: a table that others fill.
"""


class NoNames:
    """A table that never has an answer."""

    def addresses(self, host):
        return None

    def epoch(self, now):
        return 0

    def name_of(self, client, address, now):
        """What a client asked for when it got this address: "", not known. now: ms."""
        return ""
