"""What the xenstore daemon holds for a domain, as it tells dom0."""
import re

import pyxs
from pyxs._internal import Op


def in_store(domid):
    """{"nodes": n, "watches": n, ...} of a domain; from oxenstored only the nodes."""
    with pyxs.Client() as store:
        told = store.execute_command(Op.DEBUG, b"quota\0", b"%d\0" % domid).decode()
    counts = {name: int(count) for name, count in re.findall(r"(\S+) *: +(\d+)", told)}
    return {"nodes": counts["quota"]} if "quota" in counts else counts
