"""What is asked of xenstored, and what comes of it."""
from asyncio import Event

from xenbus.wire import RESET_WATCHES


class Request:
    """One request from the queue to its answer."""

    def __init__(self, kind, payload, tx_id=0, late=None):
        self.kind = kind
        self.payload = payload
        self.tx_id = tx_id
        self.late = late  # called with the request when its answer comes and its task has gone
        self.orphan = False  # nobody waits, or not any longer
        self.req_id = 0  # of the last time it was sent
        self.sent_at = None  # ns; of the first time, should it be sent again
        self.answered = Event()
        self.reply = None  # payload, or
        self.error = None  # StoreError
        self.connection = 0  # number of the connection it was answered on; 0: not answered

    def about(self):
        """What was asked, for errors and the log."""
        path = self.payload.split(b"\0")[0][:80]
        return "request %d %s" % (self.kind, "".join(chr(octet) for octet in path))

    def ends(self):
        """Whether it is over when the connection begins anew; else it is sent again."""
        return self.tx_id or self.orphan or self.kind == RESET_WATCHES
