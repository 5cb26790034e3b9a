"""What the netvm's state means for ours: pure decisions, acted upon by uplink.py.

    OFFERED ──2──▶ WAITING ──4──▶ OPEN ──any other──▶ ENDED ──after a while──▶ OFFERED
                      └──10 s──▶ EARLY ──4──▶ OPEN

OFFERED is state 1 in xenstore, ENDED 6, the others are 4. In WAITING the netvm may map our rings, but nothing is in
them: a Linux netvm goes to 4 when its vif script has ended, and what it is sent before that may lie unseen. EARLY is
for one whose script has failed: it may be there all the same.

A backend writes its own state whenever and however it likes, so the table is total: 9 states of theirs, 5 of ours.

Source: Linux xen-netfront netback_changed(), xen-netback backend_switch_state().
"""
OFFERED, WAITING, EARLY, OPEN, ENDED = range(5)

_STEPS = (
    # ours:  Offered    Waiting  Early    Open     Ended       theirs:
    ("stay", "close", "close", "close", "stay"),  # 0 Unknown: node gone or unreadable, or junk in it
    ("stay", "close", "close", "close", "again"),  # 1 Initialising: dom0 has made it anew
    ("connect", "stay", "stay", "close", "again"),  # 2 InitWait: it offers itself; it is not, or no longer, connected
    ("stay", "stay", "stay", "stay", "again"),  # 3 Initialised: no backend says this
    ("stay", "open", "ready", "stay", "again"),  # 4 Connected
    ("close", "close", "close", "close", "stay"),  # 5 Closing: dom0 or the netvm takes it away, and waits for our 6
    ("close", "close", "close", "close", "again"),  # 6 Closed
    ("stay", "stay", "stay", "stay", "again"),  # 7 Reconfiguring: we offer nothing to reconfigure
    ("stay", "stay", "stay", "stay", "again"),  # 8 Reconfigured
)


def step(ours, theirs):
    """What to do: "stay", "connect", "open", "ready" (kick what waits), "close", or "again" (to OFFERED, in a while).

    ours: one of the five; theirs: any int, out of range reads as 0.
    """
    return _STEPS[theirs if 0 <= theirs <= 8 else 0][ours]
