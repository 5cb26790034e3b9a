"""Where two images differ: section, octet, symbol, instruction. Reads ELF by the tool root's binutils.

The image that ships has no symbols; those of our own build's vmlinuz.elf, the same bytes before
`strip`, name the places in both.
"""
import re
import subprocess

from .progress import Problem

_SHOWN = 16  # octets shown from the first that differs


def differences(run, elf, ours, theirs):
    """Lines that say where theirs differs from ours, a section each, in the image's order; [] if nowhere.

    run(argv) -> text runs a program of binutils and sees the three files under these paths; elf: ours
    with symbols. A section of another length is compared up to the shorter end.
    """
    mine, other = _sections(run, ours), _sections(run, theirs)
    lines = []
    for name in list(mine) + [name for name in other if name not in mine]:
        if name not in mine or name not in other:
            lines.append("%s: only in %s image" % (name, "our" if name in mine else "the other"))
            continue
        address, size, data = mine[name]
        _, its_size, its_data = other[name]
        sizes = "" if size == its_size else "%d octets instead of %d; " % (its_size, size)
        at = _first_difference(data, its_data)
        if at is not None:
            shown = [_octets(run, path, contents, name, address, at) for path, contents in ((theirs, its_data), (ours, data))]
            lines.append("%s: %sfirst difference at %s: the other %s, ours %s"
                         % ((name, sizes, _place(run, elf, address, at)) + tuple(shown)))
        elif sizes:
            lines.append("%s: %sthe same up to the shorter end" % (name, sizes))
    if not lines and _read(ours) != _read(theirs):
        lines.append("every section is the same: the difference is in the ELF headers or between sections")
    return lines


def _sections(run, path):
    """{name: (address, size in octets, contents, b"" for .bss)} in the file's order."""
    data = _read(path)
    found = {}
    for line in run(["readelf", "--section-headers", "--wide", path]).splitlines():
        words = re.match(r"\s*\[\s*\d+\] (\S+)\s+([A-Z]\w+)\s+([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) ", line)
        if words:
            name, kind = words.group(1), words.group(2)
            address, offset, size = (int(text, 16) for text in words.groups()[2:])
            found[name] = address, size, b"" if kind == "NOBITS" else data[offset:offset + size]
    if not found:
        raise Problem("%s is not an ELF file with sections" % path)
    return found


def _first_difference(one, two):
    """Offset of the first octet in which two byte strings differ, None if one begins with the other."""
    for at in range(0, min(len(one), len(two)), 4096):
        if one[at:at + 4096] != two[at:at + 4096]:
            pairs = zip(one[at:at + 4096], two[at:at + 4096])
            return next((at + step for step, (mine, its) in enumerate(pairs) if mine != its), None)
    return None


def _symbol(run, elf, address):
    """(name, address) of the last symbol at or before an address; None before the first."""
    best = None
    for line in run(["nm", "--numeric-sort", "--defined-only", elf]).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTrRdDbB":
            if int(words[0], 16) > address:
                break
            best = words[2], int(words[0], 16)
    return best


def _place(run, elf, address, at):
    if not address:  # .comment and such are not loaded: no symbol is there
        return "octet %d" % at
    symbol = _symbol(run, elf, address + at)
    return "%#x%s" % (address + at, " (%s + %d)" % (symbol[0], address + at - symbol[1]) if symbol else "")


def _octets(run, path, contents, name, address, at):
    """What an image has there: octets, and in .text the instruction they belong to."""
    text = contents[at:at + _SHOWN].hex()
    if name != ".text":
        return text
    # a function's start may lie far back; x86 code read from anywhere falls into step in a few instructions
    span = ["--start-address=%#x" % (address + max(0, at - 64)), "--stop-address=%#x" % (address + at + 1)]
    near = run(["objdump", "--disassemble", "--no-show-raw-insn"] + span + [path]).splitlines()
    instructions = [line.split("\t", 1)[1] for line in near if re.match(r"\s*[0-9a-f]+:\t", line)]
    return text + " `%s`" % " ".join(instructions[-1].split()) if instructions else text


def _read(path):
    with open(path, "rb") as data:
        return data.read()


def binutils(root, checkout):
    """run() for differences(): the programs of a root, for files in the checkout."""
    def run(argv):
        words = [re.sub("^" + re.escape(checkout) + "/", "/src/", word) for word in argv]
        done = root.run(words, [(checkout, "/src")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode:
            raise Problem("%s: %s" % (argv[0], (done.stderr.strip().splitlines() or ["failed"])[-1]))
        return done.stdout
    return run
