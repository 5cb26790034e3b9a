"""What a client's state means for ours: pure decisions, acted upon by vif.py.

    INIT_WAIT -> CONNECTED -> CLOSING -> CLOSED -> INIT_WAIT -> ...

A frontend writes its own state whenever and however it likes, so the table is total: 9 states of theirs, 4 of ours.
Windows closes once before it first connects, and waits at high priority for our 5 and our 6: so 5 and 6 are followed
from InitWait as well. Linux may jump from 4 to 6 or to 1.

Source: Linux xen-netback frontend_changed().
"""
from xenbus.states import CLOSED, CLOSING, CONNECTED, INIT_WAIT

_OURS = (INIT_WAIT, CONNECTED, CLOSING, CLOSED)
_STEPS = (
    # ours:  InitWait   Connected  Closing    Closed        theirs:
    ("close", "close", "close", "stay"),  # 0 Unknown: node gone or unreadable, or junk in it
    ("stay", "offer", "offer", "offer"),  # 1 Initialising: it starts, or starts again
    ("stay", "stay", "stay", "stay"),  # 2 InitWait: no frontend says this
    ("connect", "stay", "stay", "stay"),  # 3 Initialised
    ("connect", "stay", "stay", "stay"),  # 4 Connected
    ("part", "part", "stay", "stay"),  # 5 Closing
    ("close", "close", "close", "stay"),  # 6 Closed
    ("stay", "stay", "stay", "stay"),  # 7 Reconfiguring: we offer nothing to reconfigure
    ("stay", "stay", "stay", "stay"),  # 8 Reconfigured
)


def step(ours, theirs):
    """What to do: "stay", "offer" (to InitWait), "connect", "part" (to Closing) or "close" (to Closed).

    ours: one of the four; theirs: any int, out of range reads as 0.
    """
    return _STEPS[theirs if 0 <= theirs <= 8 else 0][_OURS.index(ours)]
