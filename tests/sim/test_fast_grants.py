"""The fast path towards the netvm, where Xen grants fewer pages than it asks for: each page stays in one place."""

_SCRIPT = """
import xen
import firewall.bursts.uplink as module
from firewall.bursts.uplink import Uplink
from net.pool import Pool
from net.quarantine import Quarantine
from net.rows import Rows
from netfront.link import FrontLink

class Terms:
    sg = gso = csum = split = True

class Short:
    # Xen, of whom only so many pages are granted, and of whose references one is held: somebody has guessed it
    granted = 0
    held = -1
    def __getattr__(self, name):
        return getattr(xen, name)
    def grants(self, gfns, refs, n, domid, readonly):
        return xen.grants(gfns, refs, min(n, self.granted), domid, readonly)
    def revokes(self, refs, n):
        if not 0 <= self.held < n:
            return xen.revokes(refs, n)
        kept = refs[self.held]
        for i in range(n):
            if i != self.held:
                assert xen.revoke(refs[i])
                refs[i] = 0
        assert kept
        return 1

module.xen = short = Short()
pool = Pool(600)
PACKETS = (2, 1, 3, 1)  # parts of each

def play(granted, held, apart):
    quarantine = Quarantine(pool)
    link = FrontLink("uplink", pool, quarantine, 1, Terms)
    rows = Rows()
    way = Uplink(pool, rows)
    part = 0
    for i, parts in enumerate(PACKETS):
        rows.packets[8 * i + 2] = part
        rows.packets[8 * i + 3] = parts
        rows.packets[8 * i + 4] = 100 * parts
        for part in range(part, part + parts):
            rows.parts[4 * part] = pool.take()
            rows.parts[4 * part + 1] = 0
            rows.parts[4 * part + 2] = 100
        part += 1
    short.granted, short.held = granted, held
    arrays = way.arrays(link)
    said = 0
    if apart:  # the kernel was called by another, in machine code, and has said what was granted
        said = module.uplink_tx.put(arrays[1], 0, len(PACKETS), -1)
    done = said if said > 0 else way.put(link, arrays, 0, len(PACKETS), said)
    assert done == (len(PACKETS) if granted >= part else 0), done
    # what is still of the rows
    places = [pool.stack[i] for i in range(pool.free)]
    places += [page for page in link.tx_lent.page if page != 0xFFFF]
    places += [quarantine.pages[i] for i in range(quarantine._pages)]
    for i in range(done, len(PACKETS)):
        first = rows.packets[8 * i + 2]
        for part in range(first, first + rows.packets[8 * i + 3]):
            places.append(rows.parts[4 * part])
            pool.give(rows.parts[4 * part])
    assert sorted(places) == list(range(600)), (granted, held)
    lost = sum(1 for i in range(len(PACKETS)) if rows.packets[8 * i + 6] == 0xFFFE)
    assert link.dropped == lost == quarantine._pages == (1 if 0 <= held < granted < 7 else 0)
    quarantine.retry()  # whoever held it lets go
    link.close()
    assert pool.free == 600

for granted in range(8):
    for held in range(-1, 7):
        play(granted, held, False)
        play(granted, held, True)
print("done")
"""


def test_no_page_of_a_burst_is_in_two_places(machine, run):
    """What a netvm had guessed was in quarantine, and given back too when the burst ended for want of memory."""
    machine.peer(1)
    firewall = run(machine, _SCRIPT)
    assert firewall.lines()[-1] == "done", firewall.console
