"""A profile as text: instructions by kind, by hypercall, by function of C, by function and line of Python."""
import re
from bisect import bisect_right

from . import counters
from .bytecode import Bytecode
from .counters import SLEEP, STRING, by_name

_VMMCALL = b"\x0f\x01\xd9"
_GROUPS = (  # of C functions, first match
    ("Python compiled to machine code", r"^fun_data_"),
    ("garbage collection", r"^gc_(collect|mark|deal|sweep|try)|^mp_gc|gc_helper|gchelper|collect"),
    ("heap: allocate and free", r"^gc_|^m_(malloc|free|realloc|tracked)"),
    ("interpreter's loop", r"^mp_execute_bytecode"),
    ("calls: frames, arguments", r"setup_code_state|fun_bc|mp_call|pystack|nlr|bound_meth|closure|fun_builtin|native_"),
    ("attributes and globals: maps", r"map|mp_load|mp_store|attr|qstr|dict|instance|lookup|obj_type|class"),
    ("operators, numbers, sequences",
     r"binary_op|unary_op|subscr|int|list|tuple|array|slice|range|obj_|iter|mpz|equal|hash|gen_"),
    ("memcpy, memset", r"^mem(cpy|set|move|cmp)|zero"),
    ("checksum", r"csum"),
    ("our C: xen, grants, events, clock", r"hal_|xen|grant|mod|evtchn|event|clock|sleep|hypercall|page|pages"),
)
_COUNTED = ("mp_map_lookup", "mp_binary_op", "fun_bc_call", "mp_load_method_maybe", "array_subscr", "gc_alloc", "hal_ns")


def group(name):
    return next((title for title, pattern in _GROUPS if re.search(pattern, name)), "other C")


class Report:
    def __init__(self, difference, elf, text, data, xen, packets, modules):
        """text, data, xen: Symbols; packets: how many there were; modules: names of the frozen modules, as in symbols."""
        self.d, self.text, self.data, self.xen, self.packets = difference, text, data, xen, packets
        self.memory = counters.memory(elf)
        self.modules = sorted(modules, key=len, reverse=True)
        self.vmmcalls = [match.start() for match in re.finditer(_VMMCALL, bytes(self.memory))]
        self.total = sum(difference.insns.values()) + sum(difference.xen.values())

    def lines(self):
        d = self.d
        yield "image %d, Xen for it %d, Xen for others %d instructions; it came to run %d times, %.3f a packet" % (
            sum(d.insns.values()), sum(d.xen.values()), d.xen_for_others, d.entries, d.entries / self.packets)
        kinds, calls = self._kinds()
        functions, entered = by_name(d.insns, self.text), {}
        for name, n in functions.items():
            kinds["image: " + group(name)] = kinds.get("image: " + group(name), 0) + n
        yield from self._table("kinds", kinds)
        yield from calls
        yield from self._table("Xen's functions for the image", by_name(d.hypervisor, self.xen), 25)
        yield from self._table("functions of C", functions, 40)
        yield from self._called(functions)
        modules, by_line = {}, {}
        for counts in d.python, d.python_xen:
            for name, n in by_name(counts, self.data).items():
                module = self._module(name)
                modules[module] = modules.get(module, 0) + n
        for at, n in d.python.items():
            name, offset = self.data.of(at)
            if name.startswith("fun_data_"):
                function = entered.get(name) or entered.setdefault(name, Bytecode(self.memory, at - offset))
                key = "%s:%d" % (name[9:], function.line(at))
                by_line[key] = by_line.get(key, 0) + n
        yield from self._table("modules of Python, with the C and the Xen that they call", modules)
        of_python = {}
        for name, n in by_name(d.python, self.data).items():
            calls = "%8.2f calls" % (entered[name].calls(d.loads) / self.packets) if name in entered else ""
            of_python["%-56s %s" % (name.replace("fun_data_", ""), calls)] = n
        yield from self._table("functions of Python, with the C that they call", of_python, 50)
        yield from self._table("lines of Python", by_line, 50)

    def _kinds(self):
        """({kind: instructions} of Xen's part, lines about hypercalls)."""
        d, calls, cost, sleeps, asleep, other = self.d, {}, {}, 0, 0, 0
        for at, n in d.xen.items():
            if self._calls(at):
                name = self.text.of(at)[0]
                cost[name] = cost.get(name, 0) + n
                calls[name] = calls.get(name, 0) + d.runs.get(at, 0)
            elif d.kind[at] == SLEEP:
                sleeps, asleep = sleeps + d.runs.get(at, 0), asleep + n
            else:
                other += n
        copying = sum(n for at, n in d.hypervisor.items() if d.xen_kind[at] == STRING)
        kinds = {"Xen: copying (repeated string instructions)": copying,
                 "Xen: rest of hypercalls": sum(cost.values()) - copying,
                 "Xen: sleeping (HLT) and what follows": asleep, "Xen: interruptions, other exits": other}
        lines = ["", "hypercalls, by the function that makes them"]
        for name, n in sorted(calls.items(), key=lambda item: -item[1]):
            lines.append("  %9d, %7.3f a packet, %7.0f instructions of Xen's each  %s" % (
                n, n / self.packets, cost[name] / max(n, 1), name))
        return kinds, lines + ["  sleeps %d, %.3f a packet" % (sleeps, sleeps / self.packets)]

    def _calls(self, at):
        """Whether the block that begins there goes as far as a VMMCALL: one near it, with a long part of Xen's behind."""
        i = bisect_right(self.vmmcalls, at - 1)
        return (i < len(self.vmmcalls) and self.vmmcalls[i] - at < 200
                and self.text.of(self.vmmcalls[i])[0] == self.text.of(at)[0]
                and self.d.xen.get(at, 0) > 300 * self.d.runs.get(at, 1))

    def _called(self, functions):
        yield ""
        yield "calls of C"
        for name in _COUNTED:
            entered = sum(self.d.runs.get(at, 0) for at, known in zip(self.text.at, self.text.names) if known == name)
            if entered:
                yield "  %9.2f a packet, %6.1f instructions each  %s" % (
                    entered / self.packets, functions.get(name, 0) / entered, name)

    def _module(self, name):
        """Of a symbol that belongs to a frozen function."""
        return next((module for module in self.modules if name.startswith("fun_data_%s_" % module)), "other")

    def _table(self, title, sums, most=30):
        yield ""
        yield title
        for name, n in sorted(sums.items(), key=lambda item: -item[1])[:most]:
            yield "  %6.2f %%  %14d %9.0f a packet  %s" % (100 * n / self.total, n, n / self.packets, name)
