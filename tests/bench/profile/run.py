"""`bench --profile JOB`: a job by our image, with every instruction counted by count.c: that slows it some five times."""
import os
import re
import shutil
import subprocess

from images import kernel, once
from tests.xen import initramfs

from .. import beside, jobs
from ..machine import SERVER, Machine
from . import symbols
from .counters import Counters, Difference
from .report import Report

_HERE = os.path.dirname(os.path.abspath(__file__))
ELF = "/src/build/image/vmlinuz.elf"
_FOLDER = "/src/build/bench"
_PACE = jobs.Pace(0.3, 0.6, 0.1)
_STEPS = {"start": "first.packet", "idle": "accounts.window"}  # of a job that is one step of dom0's: that alone is counted
JOBS = beside.JOBS + tuple(_STEPS)
_REST = 10.0  # s


def plugin():
    """Path of count.c, compiled."""
    source = os.path.join(_HERE, "count.c")
    os.makedirs(_FOLDER, exist_ok=True)
    path = os.path.join(_FOLDER, "count.so")
    if os.path.exists(path) and os.path.getmtime(path) < os.path.getmtime(source):
        os.unlink(path)
    command = ["gcc", "-O2", "-shared", "-fPIC", source, "-o"]
    return once.made(path, lambda part: subprocess.run(command + [part], check=True))


def options(counts, elf, xen):
    """QEMU's. counts: where the counters are to lie; elf, xen: Symbols of the image, all of them, and of Xen."""
    low = elf.address("mp_execute_bytecode")
    high = next(at for at in elf.at if at > low)
    places = [symbols.IMAGE + at for at in (low, high, elf.address("_text_end"), elf.address("_rodata_end"))]
    places.append(symbols.XEN + xen.address("context_switch"))
    return ["-plugin", "file=%s,out=%s,low=%#x,high=%#x,code=%#x,end=%#x,switch=%#x" % (plugin(), counts, *places)]


def modules():
    """Names of the frozen modules as they are in symbols."""
    paths = [path for path in kernel.inputs() if path.endswith(".py")]
    return [re.sub(r"^port/modules/|\.py$|/__init__\.py$", "", path).replace("/", "_") for path in paths]


def _at_rest(machine):
    """As jobs.idle has it: the last step of dom0's is nothing but rest, which is what stays counted. {}: of no packets."""
    machine.watch({0: "traffic send %s 0.05 200 %d 8" % (SERVER, jobs.OCTETS)}, 2.0, 0.0)
    machine.lab.call("accounts.window", [], 0.0, _REST, [0], timeout=10 * _REST)
    return {}


def profile(name, say):
    """Lines of text about a job."""
    text, data, both = (symbols.image(ELF, kinds) for kinds in ("t", "drb", "tdrb"))
    xen = symbols.xen(initramfs.xen())
    counts = os.path.join(_FOLDER, "counters")
    say("boot Xen and dom0, counting")
    machine = Machine(4 if name in ("up8", "down8", "idle") else 1, emulator_words=options(counts, both, xen))
    try:
        machine.use("ours")
        copies = [counts + ".before", counts + ".after"]
        of, method = (machine.lab, "call") if name in _STEPS else (machine, "watch")
        call = getattr(of, method)

        def counted(*words, **options):
            if name in _STEPS and words[0] != _STEPS[name]:
                return call(*words, **options)
            shutil.copyfile(counts, copies[0])
            result = call(*words, **options)
            shutil.copyfile(counts, copies[1])
            return result
        setattr(of, method, counted)
        say(name)
        found = _at_rest(machine) if name == "idle" else getattr(jobs, name)(machine, _PACE)
        packets = found.get("beside:packets:" + name) or 1
        difference = Difference(*map(Counters, copies))
        return list(Report(difference, ELF, text, data, xen, packets, modules()).lines())
    finally:
        machine.close()
        for path in (counts, counts + ".before", counts + ".after"):
            if os.path.exists(path):
                os.unlink(path)
