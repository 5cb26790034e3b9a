"""Which module may know which: every import in the image's Python, read from its text.

A package knows only what stands below it, and no module knows itself by way of others. So a change is seen from below
by nobody, and each part can be read, tested and replaced without what stands above.
"""
import ast
import os

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# MicroPython's own, the port's C, what the build generates, and what only builds for tests have
OUTSIDE = {"array", "asyncio", "binascii", "errno", "gc", "io", "micropython", "struct", "sys", "time", "xen", "_build", "vchansocket"}
FOLDERS = ("port/modules", "port/image", "netback", "netfront", "firewall")

# package: the packages that it may import, beside itself. The ground is port/modules without its folders, but for
# five modules: what runs first and how dom0 tells us to stop, which stand on xenbus; what is run in the image that ships;
# the driving of generators; and keys of addresses.
MAY = {
    "steps": set(),
    "scattered": set(),
    "ground": set(),
    "control": {"ground", "xenbus"},
    "boot": {"ground", "xenbus", "control", "program"},
    "program": {"main"},
    "xenbus": {"ground"},
    "net": {"ground"},
    "vchan": {"ground", "xenbus"},
    "netback": {"ground", "xenbus", "net", "wire"},  # addresses in text are read by wire.address alone
    "netfront": {"ground", "xenbus", "net"},
    "reasons": set(),
    "wire": set(),
    "rules": {"wire", "steps", "scattered", "fast"},
    "flows": {"reasons", "wire", "rules", "fast"},
    "packets": {"reasons", "wire", "rules", "flows"},
    "fast": set(),
    "bursts": {"ground", "net", "reasons", "wire", "flows", "fast", "interfaces", "opening", "turns"},
    "qubes": {"ground", "xenbus", "vchan", "wire", "rules"},
    "names": {"ground", "net", "wire", "rules", "scattered"},
    "services": {
        "ground", "reasons", "wire", "rules", "flows", "packets", "qubes", "names", "accounts", "capture",
        "interfaces", "policy",
    },
}
# modules of firewall/ itself, from below: each may import those before it
LAYERS = (
    "reasons", "accounts", "interfaces", "policy", "neighbours", "answers", "inbound", "judge", "opening", "turns",
    "capture",
    "cutting", "rates", "delivery", "slow", "forward", "gateway", "naming", "stalls", "sweeper", "status", "told", "starting", "main",
)  # fmt: skip
for _name in ("qubes", "names", "services", "netback", "netfront", "vchan", "xenbus", "net"):
    MAY[_name].add("steps")
_BELOW = {"ground", "xenbus", "net", "reasons", "wire", "rules", "flows", "packets"}
for _i, _name in enumerate(LAYERS):
    if _name != "reasons":
        MAY[_name] = _BELOW | set(LAYERS[:_i])
MAY["forward"].add("bursts")
MAY["sweeper"].add("fast")
MAY["opening"].add("fast")
MAY["capture"].add("fast")
MAY["naming"] |= {"names", "steps", "scattered"}
for _name in ("accounts", "interfaces", "policy", "neighbours", "answers", "inbound", "judge", "opening", "turns"):
    MAY[_name] -= {"ground", "xenbus", "net"}
MAY["main"] |= {"control", "scattered", "netback", "netfront", "qubes", "names", "services"}


def modules():
    """{name as it is imported: path} of all that is frozen."""
    found = {}
    for folder in FOLDERS:
        top = os.path.join(ROOT, folder)
        for path, _, names in os.walk(top):
            for name in names:
                if name.endswith(".py"):
                    whole = os.path.join(path, name)
                    base = top if folder.startswith("port/") else ROOT
                    dotted = os.path.relpath(whole, base)[:-3].replace(os.sep, ".")
                    found[dotted[: -len(".__init__")] if dotted.endswith(".__init__") else dotted] = whole
    return found


MODULES = modules()


def package(name):
    """What a module belongs to, in the words of MAY."""
    first, _, rest = name.partition(".")
    if first == "firewall":
        return rest.split(".")[0] if rest else "firewall"
    if first in ("netback", "netfront") or os.path.isdir(os.path.join(ROOT, "port", "modules", first)):
        return first
    return first if first in ("boot", "control", "program", "scattered", "steps") else "ground"


def imports(text, name=""):
    """[(module, only when a function runs)] that a source imports; `from a import b` is a.b if that is a module."""
    found = []

    def visit(node, inside):
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.Import):
                found.extend((alias.name, inside) for alias in each.names)
            elif isinstance(each, ast.ImportFrom):
                assert each.level == 0, "%s: a relative import" % name
                for alias in each.names:
                    whole = "%s.%s" % (each.module, alias.name)
                    found.append((whole if whole in MODULES else each.module, inside))
            visit(each, inside or isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(text), False)
    return found


def arrows():
    """[(module, what it imports, late)] between modules of ours; anything unknown fails."""
    found = []
    for name, path in sorted(MODULES.items()):
        with open(path, encoding="utf-8") as text:
            for other, late in imports(text.read(), name):
                if other in MODULES:
                    found.append((name, other, late))
                else:
                    assert other.split(".")[0] in OUTSIDE, "%s imports %s, which is none of ours" % (name, other)
    return found


def wrong(name, other, late):
    """True for an arrow the other way."""
    own, others = package(name), package(other)
    return own != others and (others not in MAY.get(own, ()) or others == "program" and not late)


def circles(found):
    """The modules that reach themselves."""
    after = {}
    for name, other, _ in found:
        after.setdefault(name, set()).add(other)
    inside = []
    for start in after:
        seen, left = set(), list(after[start])
        while left:
            each = left.pop()
            if each not in seen:
                seen.add(each)
                left.extend(after.get(each, ()))
        if start in seen:
            inside.append(start)
    return inside


def test_imports_point_one_way():
    assert [(name, other) for name, other, late in arrows() if wrong(name, other, late)] == []


def test_no_module_imports_itself_by_way_of_others():
    assert circles(arrows()) == []


def test_the_fast_path_imports_nothing():
    assert [arrow for arrow in arrows() if package(arrow[0]) == "fast"] == []


def test_every_package_has_its_place():
    places = {package(name) for name in MODULES} - {"firewall"}
    assert places - set(MAY) == set()


def test_an_arrow_the_other_way_is_seen():
    assert wrong("firewall.wire.tcp", "firewall.flows.state", False)
    assert wrong("firewall.flows.nat", "firewall.packets.packet", False)
    assert wrong("firewall.packets.v4", "firewall.judge", False)
    assert wrong("firewall.judge", "firewall.forward", False)
    assert wrong("firewall.qubes.settings", "firewall.neighbours", False)
    assert wrong("net.pool", "netback.link", False) and wrong("log", "xenbus.store", False)
    assert not wrong("firewall.judge", "firewall.packets.v4", False)
    assert circles([("a", "b", False), ("b", "c", False), ("c", "a", False), ("d", "a", False)]) == ["a", "b", "c"]
    text = "import log\ndef f():\n    from firewall.wire import tcp, ipv4\nfrom struct import pack"
    assert imports(text) == [("log", False), ("firewall.wire.tcp", True), ("firewall.wire.ipv4", True), ("struct", False)]
