"""`./build.py mutate [MODULE ...]`: plant faults, and say which no test sees. Exit status 1 if there is one.

    MODULE    a word of the table below, such as nat; all of them if none is named
    -v        also who finds each
    -n NAME   only the faults in this function, such as Index.add
"""
import argparse
import os
import random
import sys

import pytest

from . import mutants, runner

KNOWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known.txt")
_FLOWS = ["behaviours", "flows", "ports", "port_shares", "nat_cases", "nat_edges", "limits", "tcp_without_flow", "judge_mutated"]
_PACKETS = ["behaviours", "judge_edges", "nat_cases", "limits", "wire", "icmp", "tcp_without_flow", "transports", "identification", "judge_mutated"]
# module: (its file, as what it is imported, functions or None for all, the tests' files by how their names begin)
MODULES = {
    "judge": ("firewall/judge.py", "firewall.judge", None, _PACKETS),
    "answers": ("firewall/answers.py", "firewall.answers", None, ["would"] + _PACKETS),
    "nat": ("firewall/flows/nat.py", "firewall.flows.nat", None, _FLOWS),
    "flows": ("firewall/flows/table.py", "firewall.flows.table", None, _FLOWS),
    "follow": ("firewall/flows/follow.py", "firewall.flows.follow", None, ["follow"] + _FLOWS),
    "lists": ("firewall/flows/lists.py", "firewall.flows.lists", None, _FLOWS),
    "mappings": ("firewall/flows/mappings.py", "firewall.flows.mappings", None, _FLOWS),
    "ports": ("firewall/flows/ports.py", "firewall.flows.ports", None, _FLOWS),
    "index": ("firewall/flows/index.py", "firewall.flows.index", None, ["index", "flows_model"]),
    "quoted": ("firewall/packets/icmp_quote.py", "firewall.packets.icmp_quote", None, ["behaviours_icmp", "icmp", "quoted", "nat_cases"]),
    "fragments": ("firewall/packets/reassemble.py", "firewall.packets.reassemble", None, ["behaviours_fragments", "nat_cases", "fragments", "limits"]),
    "split": ("firewall/packets/split.py", "firewall.packets.split", None, ["behaviours_fragments", "nat_cases", "fragments", "limits"]),
    "v4": ("firewall/packets/v4.py", "firewall.packets.v4", None, ["rewrite"] + _PACKETS),
    "replies": ("firewall/packets/replies.py", "firewall.packets.replies", None, ["behaviours", "wire", "icmp", "replies", "tcp_without_flow", "identification"]),
    "rules": ("firewall/rules/text.py", "firewall.rules.text", None, ["rules", "rule_cases", "explain"]),
    "matcher": ("firewall/rules/matcher.py", "firewall.rules.matcher", None, ["rules", "rule_cases"]),
    "names": ("firewall/rules/names.py", "firewall.rules.names", None, ["rules"]),
    "address": ("firewall/wire/address.py", "firewall.wire.address", None, ["wire_address", "rules", "rule_cases"]),
    "netif": ("port/modules/net/netif.py", "net.netif", None, ["netif"]),
    "batch": ("port/modules/net/batch.py", "net.batch", ["Batch.begin", "Batch.take", "Batch.describe"], ["batch"]),
    "naming": ("firewall/naming.py", "firewall.naming", None, ["naming"]),
    "learnt": ("firewall/names/learnt.py", "firewall.names.learnt", None, ["names", "naming"]),
    "clients": ("firewall/names/clients.py", "firewall.names.clients", None, ["names", "naming"]),
    "dns": ("firewall/names/dns.py", "firewall.names.dns", None, ["dns", "names", "naming"]),
    "qrexec": ("firewall/qubes/qrexec.py", "firewall.qubes.qrexec", None, ["qrexec"]),
    "messages": ("firewall/qubes/messages.py", "firewall.qubes.messages", None, ["qubesdb"]),
    "trees": ("firewall/qubes/ruletrees.py", "firewall.qubes.ruletrees", None, ["qubesdb"]),
    "steps": ("netback/states.py", "netback.states", None, ["netback_steps"]),
}
# not in the pure tests' reach: builds, other programs, the frozen code
_OTHERS = ("capture", "judge_micropython", "nat_linux", "release", "reproducible", "rules_micropython", "rules_nftables", "size",
           "toolroot", "port_readme", "explain")


def _files(beginnings):
    folder = os.path.join(runner.CHECKOUT, "tests", "host")
    names = sorted(name for name in os.listdir(folder) if name.startswith("test_") and name.endswith(".py"))
    return ["tests/host/" + name for name in names if name[5:-3] not in _OTHERS and name[5:].startswith(tuple(beginnings))]


def main():
    parser = argparse.ArgumentParser(prog="./build.py mutate --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", choices=[[]] + sorted(MODULES))
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-n", "--name", metavar="NAME", help="only in this function")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants of each module, chosen at random, the same each time")
    parser.add_argument("--seconds", type=float, default=20, metavar="N", help="CPU time of the tests that each mutant is given, the quickest that reach it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--tests", nargs="*", help="files of tests, if not those of the table")
    options = parser.parse_args()
    os.environ["CI"] = "1"  # the same examples and counts each time
    with open(KNOWN) as text:
        known = mutants.read_known(text.read())
    chosen, modules, files = [], {}, set()
    for word in options.modules or MODULES:
        path, name, functions, beginnings = MODULES[word]
        modules[path] = name
        files.update(_files(beginnings))
        with open(os.path.join(runner.CHECKOUT, path)) as text:
            made = mutants.make(path, text.read(), functions)
        if options.name:
            made = [mutant for mutant in made if mutant.function == options.name]
        if options.sample and options.sample < len(made):
            made = random.Random(1).sample(made, options.sample)
        chosen += made
    score, unused = {path: {} for path in modules}, {name for name in known if name[0] in modules}

    def said(mutant, verdict, by):
        unused.discard(mutant.name)
        if verdict in ("survived", "unreached") and mutant.name in known:
            verdict = "equivalent"
        elif mutant.name in known:
            print("known.txt says that none can see this, but %s does:\n%s" % (by or "its endless loop", mutant))
        score[mutant.path][verdict] = score[mutant.path].get(verdict, 0) + 1
        if verdict in ("survived", "unreached") or options.verbose:
            print("%s%s\n%s\n" % (verdict, ": " + by if by else "", mutant), flush=True)

    judging = runner.Runner(modules, chosen, options.jobs, options.seconds, said)
    status = pytest.main(["-c", "tests/pytest.ini", "--rootdir=" + runner.CHECKOUT, "-q", "-p", "no:cacheprovider"] + (options.tests or sorted(files)),
                         plugins=[judging])
    if status not in (0, 5):
        return status
    print("tests: %d, %.0f s of CPU time" % (len(judging.seconds), sum(judging.seconds.values())))
    for nodeid in judging.broken:
        print("fails without any fault, not used: " + nodeid)
    print("%-24s %s" % ("", " ".join("%10s" % word for word in ("killed", "endless", "equivalent", "survived", "unreached"))))
    for path in modules:
        print("%-24s %s" % (path, " ".join("%10d" % score[path].get(word, 0) for word in ("killed", "endless", "equivalent", "survived", "unreached"))))
    if not options.sample and not options.name:
        for name in sorted(unused):
            print("known.txt names what is not there any more: %s %s: %s -> %s" % name[:4])
    return 1 if any(score[path].get(word) for path in modules for word in ("survived", "unreached")) else 0


if __name__ == "__main__":
    sys.exit(main())
