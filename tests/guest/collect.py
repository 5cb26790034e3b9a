"""What a garbage collection costs, by how much lives: run=collect. A line for each: KiB of heap in use, ns.

What lives is of three kinds: octets (which the collector scans as if they were references), lists of small numbers,
and objects that refer to others.
"""
import gc

import xen


def octets(n):
    return [bytes(4000) for _ in range(n // 4032)]


def numbers(n):
    return [list(range(100)) for _ in range(n // 832)]


def objects(n):
    return [{"%d" % i: (i, [i])} for i in range(n // 320)]


def measure(kind, n):
    kept = kind(n)
    gc.collect()
    began = xen.own()
    gc.collect()
    ns = xen.own() - began
    assert xen.collecting(began) <= ns
    print("collect: %s %d KiB %d ns" % (kind.__name__ if n else "nothing", gc.mem_alloc() >> 10, ns))
    return kept


async def main(store, words):
    measure(octets, 0)
    for kind in (octets, numbers, objects):
        for mib in (1, 2, 3):
            measure(kind, mib << 20)
    print("collect: done")
    xen.shutdown(xen.POWEROFF)
