"""The longest time between two rounds of ring services, and what ran in it.

All times are ns of xen.own(): what Xen gave to others while we had work is not our doing, and what we slept is no gap.
A gap goes from the beginning of one round to that of the next: the services themselves, one step of one task, then
the wake functions of the ports that had events.
"""


class Gap:
    """Numbers and references only, so that noting one allocates nothing; text() is for whoever asks."""

    def __init__(self):
        self.ns = 0
        self.services = 0  # of ns
        self.task = 0  # of ns: in the step of a task
        self.wakes = 0  # of ns
        self.collecting = 0  # of ns: garbage collection in any of the three
        self.whose = None  # the step: the task's name, or its coroutine if it has none

    def text(self):
        """ "2310 us: 410 in ring services, 1900 in task rules; 800 of it collecting garbage"; whole us."""
        parts = [(self.services, "ring services"), (self.task, "task " + _name(self.whose)), (self.wakes, "wake functions")]
        parts = ["%d in %s" % (ns // 1000, what) for ns, what in parts if ns >= 1000]
        text = "%d us" % (self.ns // 1000)
        if parts:
            text += ": " + ", ".join(parts)
        if self.collecting >= 1000:
            text += "; %d of it collecting garbage" % (self.collecting // 1000)
        return text


def _name(whose):
    if whose is None:
        return "of nobody"
    if isinstance(whose, str):
        return whose
    return repr(whose).split("'")[1]  # of a coroutine: <generator object 'name' at ...>
