"""Linux's figures of an earlier run beside a new one of ours: only where everything but our image is the same."""
from . import table

_SAME = ("ground", "clients", "untrusted", "pace")


class Differs(Exception):
    """The earlier run had something else: its figures do not belong beside these."""


def differences(settings, other):
    """Sentences: what would make figures of the two not comparable. other: of the earlier run."""
    found = []
    for key in _SAME:
        ours, theirs = settings.get(key), other.get(key)
        if key == "ground" and ours and theirs:
            names = sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
            found += ["%s: another one was used than now" % name for name in names]
        elif ours is None or ours != theirs:
            found.append("%s: got %r, expected %r as now" % (key, theirs, ours))
    missing = [job for job in settings["jobs"] if job not in other.get("jobs", ())]
    return found + (["jobs: %s were not done" % ", ".join(missing)] if missing else [])


def check(settings, linux):
    """Raise Differs if figures of an earlier run cannot stand beside those of a run with these settings."""
    wrong = differences(settings, linux["settings"])
    wrong += ["firewalls: Linux is measured now, too"] if set(table.OTHERS) & set(settings["firewalls"]) else []
    wrong += [] if set(table.OTHERS) & set(linux["figures"]) else ["firewalls: got none of Linux"]
    if wrong:
        raise Differs("; ".join(wrong))


def put_beside(result, linux, name):
    """The result with the others' figures of an earlier one. name: of its file, for whoever reads the table."""
    check(result["settings"], linux)
    figures = {variant: linux["figures"][variant] for variant in table.OTHERS if variant in linux["figures"]}
    return {**result, "figures": {**result["figures"], **figures}, "settings": {**result["settings"], "beside": name}}


def note(result):
    """A line for below the table; none if all was measured in one run."""
    name = result["settings"].get("beside")
    text = "Linux, flowtable: of an earlier run (%s) on the same lab, by the same programs, clients and times."
    return [text % name] if name else []
