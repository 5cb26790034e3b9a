"""The upload of 40 MB that once stood still in CI, again and again: whether frames always come.

    ./build.py test xen -- --long tests/xen/test_upload.py

That no wake-up can be lost is shown by tests/sim/test_lost_wakeups.py and tests/sim/test_upload.py; this is the same by
Linux' own netfront and netback, and by Xen's event channels.
"""
import json

import pytest

from tests.xen.site import CLIENTS
from tests.xen.steps import payload
from tests.xen.test_traffic import at_once, visit

NAMES = "work", "chat"
OCTETS = 40_000_000
SECONDS = 60  # of the lab's clock; a few more, as the last round is whole
LIMIT = 600
STANDS = 1.0  # s without a frame, which no round trip and no collection of ours takes
END = 2 * OCTETS - (4 << 20)  # octets of both, when one of them may be over
LOG = "/tmp/standstill.log"


def a_round(site, clients, octets):
    """Both upload at once, from first to last octet; {"longest": s in which nothing came to the netvm, "looks"}."""
    site.lab.run(["touch", "/tmp/moving"])
    site.lab.start(["python3", "/steps/standstill.py", site.uplink, str(site.firewall.domid), str(END)], LOG)
    results = at_once(lambda client: visit(client, "upload", "192.0.2.1", client.name, octets), clients)
    site.lab.run(["rm", "/tmp/moving"])
    assert site.lab.await_text(LOG, "longest", 30) is not None
    said = site.lab.read(LOG).decode()
    for client, result in zip(clients, results):
        assert result["sha256"] == payload.sha256(client.name, octets), (client.name, said)
    return json.loads(said.splitlines()[-1]), said


@pytest.mark.long
def test_uploads_again_and_again(site, figure):
    """No second without a frame, in a minute of nothing else."""
    assert site.internet.serve(60)
    clients = [site.client(name, ip, python=True) for name, ip in zip(NAMES, CLIENTS)]
    began, rounds, longest = site.lab.clock(), 0, []
    while site.lab.clock() - began < SECONDS:
        seen, said = a_round(site, clients, OCTETS)
        longest.append(seen["longest"])
        rounds += 1
        print("upload, round %d: %s" % (rounds, seen), flush=True)
        assert seen["longest"] < STANDS and seen["looks"] > 10, said
    figure("uploads of %d MB by two clients at once: how many, in how many s of the lab's clock" % (OCTETS / 1e6),
           "%d, %.0f" % (2 * rounds, site.lab.clock() - began))
    figure("uploads: the longest time without a frame", "%g s" % max(longest), "%g s" % STANDS)
