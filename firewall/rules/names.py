"""What the host names in rules (dsthost) resolve to. matcher.RuleList asks; who is asked is given to seal().

    addresses(host)   a tuple of ints; () if the name does not exist; None for no answer
    learnt(host)      a tuple of others that the client was told of when it asked for itself
    past(host)        a tuple of those that admit no new flow any longer; None: there was never an answer
    epoch(now)        an int that is another one whenever any of these may have another result; now: in ms
    waiting()         True while some name may get its first answer: what is denied for want of it is not to be cut

`host` is as the rule has it, in lower case and without a final dot. All are called while a packet is judged, so none
may wait: a table that others fill. of(client) is what the list of one client is sealed with.
"""


class NoNames:
    """A table that never has an answer."""

    def of(self, client):
        return self

    def set_resolvers(self, addresses):
        pass

    def addresses(self, host):
        return None

    def learnt(self, host):
        return ()

    def past(self, host):
        return None

    def waiting(self):
        return False

    def epoch(self, now):
        return 0

    def name_of(self, client, address, now):
        """What a client asked for when it got this address: "", not known. now: ms."""
        return ""
