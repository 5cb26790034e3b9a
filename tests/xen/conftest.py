"""Fixtures of the tests on a real Xen: one boot for all that want the same, consoles shown on failure."""
import random

import pytest

from tests.xen import gaps
from tests.xen.lab import Lab, Linux
from tests.xen.site import Site

CHECKOUT = "/src"
# the labs, in the order in which they are booted: what they have that others do not
_LABS = {"xenstored": {}, "two CPUs": {"cpus": 2}, "oxenstored": {"xenstore": "oxenstored", "cpus": 2}}
# Consoles shown when a test fails: lines of each, characters of each line, lines of all whose domains no longer live
_TAIL, _WIDTH, _ROOM = 60, 200, 120


class Labs:
    """At most one lab at a time: two cores carry no more."""

    def __init__(self):
        self.name, self.lab = None, None
        self.failures = 0
        self.site = self.site_kind = None

    def get(self, name):
        """The running lab of that name, one of _LABS, booted if need be."""
        if name != self.name or not self.lab.usable():
            self.close()
            if self.failures == 2:
                pytest.fail("Xen failed to boot twice; not tried again", pytrace=False)
            self.failures += 1
            self.lab, self.name = Lab(**_LABS[name]), name
            self.failures = 0
        return self.lab

    def get_site(self, name, options):
        """A site with these arguments on that lab: the one there is, if it can be used, or a new one."""
        if self.site is None or (name, options) != self.site_kind or not self.site.usable():
            self.close_site()
            lab = self.get(name)
            self.site, self.site_kind = Site(lab, **options), (name, options)
        return self.site

    def close_site(self):
        """Leave the lab as it was."""
        if self.site and self.lab and self.lab.emulator.alive():
            self.site.close()
            self.lab.reset()
        self.site = None

    def close(self):
        self.site = None
        if self.lab:
            self.lab.close()
        self.name = self.lab = None


def _site_options(item, parameters):
    """The arguments of a test's site: its parameter, or its module's."""
    return parameters["site"] if "site" in parameters else getattr(item.module, "SITE", {})


def _place(item):
    """In the order of labs; those that share a site are the last of theirs, and follow one another."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    lab = list(_LABS).index(parameters.get("lab", "xenstored"))
    if "site" not in item.fixturenames:
        return lab, False, []
    return lab, True, sorted((name, repr(value)) for name, value in _site_options(item, parameters).items())


def pytest_itemcollected(item):
    """Each group stays in one process, see build.py: what shares a lab, or a netvm, unless a module names its own."""
    if item.get_closest_marker("xdist_group"):
        return
    lab, on_site, options = _place(item)
    words = ["site"] + [value.strip("'") for _, value in options] if on_site else ["two CPUs" if lab else "lab"]
    item.add_marker(pytest.mark.xdist_group(" ".join(words)))


def _reorder(items, order):
    """What --order asks for, of modules and of the tests in each: what one test leaves behind meets others."""
    if order == "reversed":
        items.reverse()
        return
    chance = random.Random(order)
    places = {}
    for item in items:
        places.setdefault(item.path, (chance.random(), []))[1].append((chance.random(), item))
    items[:] = [item for _, tests in sorted(places.values(), key=lambda place: place[0])
                for _, item in sorted(tests, key=lambda test: test[0])]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Tests that share a lab follow one another."""
    ours = [item for item in items if item.path.is_relative_to(CHECKOUT + "/tests/xen")]
    if ours:
        first = items.index(ours[0])
        if config.getoption("--order"):
            _reorder(ours, config.getoption("--order"))
        ours.sort(key=_place)
        items[first:first + len(ours)] = ours


_the_labs = Labs()


@pytest.fixture(scope="session")
def labs():
    yield _the_labs
    _the_labs.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """A lab takes a whole core even while nobody asks it anything: it goes with the last test that is here."""
    if nextitem is None or not nextitem.path.is_relative_to(CHECKOUT + "/tests/xen"):
        _the_labs.close()


@pytest.fixture
def lab(request, labs):
    """A Xen with dom0, where one instruction takes one nanosecond of all clocks; one CPU, with xenstored.

    Parametrised indirectly with "two CPUs" it has those, with "oxenstored" that daemon as well.
    """
    labs.close_site()
    lab = labs.get(getattr(request, "param", "xenstored"))
    request.node.lab = lab
    yield lab
    if lab.emulator.alive():
        lab.reset()


@pytest.fixture
def site(request, labs):
    """A firewall between clients and netvm, see site.py. Its arguments: the parameter, or SITE = {...} in the test's module.

    It is shared by tests with equal arguments, for booting Linux clients takes most of their time: clients stay.
    """
    site = labs.get_site("xenstored", getattr(request, "param", None) or getattr(request.module, "SITE", {}))
    request.node.lab = site.lab
    yield site
    if getattr(request.node, "failed", False) and not site.held:
        labs.close_site()  # nobody knows what it has left behind
    elif site.lab.emulator.alive():
        site.reset()


both_daemons = pytest.mark.parametrize("lab", ["xenstored", "oxenstored"], indirect=True)
two_cpus = pytest.mark.parametrize("lab", ["two CPUs", "oxenstored"], indirect=True)


@pytest.fixture
def image(lab):
    """The image that ships, in dom0."""
    return lab.upload(CHECKOUT + "/build/vmlinuz")


@pytest.fixture
def guest(lab):
    """guest("program", "more words", memory=32): a domain of the test image that runs tests/guest/program.py."""
    kernel = lab.upload(CHECKOUT + "/build/vmlinuz-test")

    def start(program, words="", **more):
        return lab.domain(program, kernel, ("run=%s %s" % (program, words)).strip(), **more)
    return start


@pytest.fixture
def seen(figure):
    """seen(domain, what): us of the longest gap since last asked; what ran in it goes among the figures."""
    def seen(domain, what):
        us, text = gaps.longest_gap(domain)
        figure("longest gap: " + what, text, "%d us" % gaps.LIMIT)
        return us
    return seen


def _condition(lab):
    """Who uses the CPU, two seconds apart; each image that runs writes a status on its console meanwhile."""
    seen = [lab.run(["xl", "list"])]
    for domain in lab.domains:
        if not isinstance(domain, Linux) and domain.state() == "running":
            lab.run(["xl", "sysrq", str(domain.domid), "s"], check=False)
    lab.run(["sleep", "2"])
    return "\n".join(seen + [lab.run(["xl", "list"])])


def _worth_showing(lab):
    """Domains, the newest first: all that live, then of the others those for which there is room."""
    try:
        alive = lab.call("domains.alive", [domain.domid for domain in lab.domains])
    except Exception:  # the lab may be what is broken
        alive = [domain.domid for domain in lab.domains]
    newest = lab.domains[::-1]
    ended = [domain for domain in newest if domain.domid not in alive]
    return [domain for domain in newest if domain.domid in alive] + ended[:_ROOM // _TAIL]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show under a failure how the machine was, and the tails of all consoles."""
    outcome = yield
    report = outcome.get_result()
    lab = getattr(item, "lab", None)
    if not report.failed or lab is None:
        return
    item.failed = True

    def show(title, text):
        try:
            lines = text().splitlines()[-_TAIL:]
        except Exception as error:  # the lab may be what is broken
            lines = [str(error)]
        report.sections.append((title, "\n".join(line[:_WIDTH] for line in lines)))

    show("xl list, and again", lambda: _condition(lab))
    for domain in _worth_showing(lab):
        show("console of %s" % domain.name, domain.console)
    show("Xen and dom0", lambda: "\n".join(line for line in lab.xen_log().splitlines() if "] HVM d" not in line))
    show("QEMU", lab.emulator.complaint)
