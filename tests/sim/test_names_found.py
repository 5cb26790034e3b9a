"""Names of strings and of frozen modules are found by their hash (port/names.c), all of them and no others."""
import os

_CHECKOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
_PACKAGES = ("firewall", "netback", "netfront", "port/modules/net", "port/modules/vchan", "port/modules/xenbus")

_SCRIPT = """
import sys

names = %r
seen = 0
sys.path[:] = [".frozen"]  # no file that lies where the simulation runs
for name in names:
    for wrong in (name + "x", name[:-1], name + ".py", name.upper()):
        if wrong not in names:
            try:
                __import__(wrong)
            except ImportError:
                continue
            raise AssertionError("imported " + wrong)
    module = __import__(name)
    for part in name.split(".")[1:]:
        module = getattr(module, part)
    assert module is sys.modules[name], name
    for each in dir(module):
        for word in each, each.lower(), each + "s":
            made = "".join(list(word))
            assert made == word and hash(made) == hash(word)
            if word is each:  # a name that was frozen: whoever makes it anew gets the same
                assert made is each, each
                seen += 1

class Thing:
    pass

thing = Thing()
for i in range(700):
    name = "made-%%d" %% i
    assert not hasattr(thing, name)
    setattr(thing, name, i)
for i in range(700):
    assert getattr(thing, "-".join(("made", str(i)))) == i
assert not hasattr(thing, "made-700") and not hasattr(thing, "") and not hasattr(thing, "made")
print("modules", len(names), "names", seen)
"""


def _modules():
    found = []
    for package in _PACKAGES:
        top = os.path.join(_CHECKOUT, package)
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), os.path.dirname(top))
                if name.endswith(".py"):
                    found.append(path[:-3].replace(os.sep, ".").replace(".__init__", ""))
    return sorted(found)


def test_every_frozen_module_and_name_is_found_and_no_other(machine, run):
    modules = _modules()
    lines = run(machine, _SCRIPT % (modules,)).lines("modules ")
    assert len(lines) == 1 and lines[0].split()[1] == str(len(modules)) and int(lines[0].split()[3]) > 2000, lines
