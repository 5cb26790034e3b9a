"""Fixtures of the tests on a real Xen: one boot for all that want the same, consoles shown on failure."""
import pytest

from tests.xen.lab import Lab
from tests.xen.site import Site

CHECKOUT = "/src"
_WANTED = ("xenstored", "oxenstored", "counting")  # order in which the labs are booted
_TAIL = 60  # lines of each console shown when a test fails


class Labs:
    """At most one lab at a time: two cores carry no more."""

    def __init__(self):
        self.name, self.lab = None, None
        self.failures = 0

    def get(self, name):
        """The running lab of that name, booted if need be: a daemon's name, or "counting"."""
        if name != self.name or not self.lab.usable():
            self.close()
            if self.failures == 2:
                pytest.fail("Xen failed to boot twice; not tried again", pytrace=False)
            daemon = "xenstored" if name == "counting" else name
            self.failures += 1
            self.lab, self.name = Lab(daemon, counting=name == "counting"), name
            self.failures = 0
        return self.lab

    def close(self):
        if self.lab:
            self.lab.close()
        self.name = self.lab = None


def _wanted(item):
    if {"counting_lab", "counting_site"} & set(getattr(item, "fixturenames", ())):
        return "counting"
    return getattr(item, "callspec", None) and item.callspec.params.get("lab") or "xenstored"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Tests that share a lab follow one another."""
    ours = [item for item in items if item.path.is_relative_to(CHECKOUT + "/tests/xen")]
    if ours:
        first = items.index(ours[0])
        ours.sort(key=lambda item: _WANTED.index(_wanted(item)))
        items[first:first + len(ours)] = ours


@pytest.fixture(scope="session")
def _labs():
    labs = Labs()
    yield labs
    labs.close()


def _lend(request, labs, name):
    lab = labs.get(name)
    request.node.lab = lab
    yield lab
    if lab.emulator.alive():
        lab.reset()


@pytest.fixture
def lab(request, _labs):
    """A Xen with dom0. Parametrised indirectly with "oxenstored" it has that daemon."""
    yield from _lend(request, _labs, getattr(request, "param", "xenstored"))


@pytest.fixture
def counting_lab(request, _labs):
    """A Xen on the deterministic computer: one instruction takes one nanosecond of its clocks."""
    yield from _lend(request, _labs, "counting")


class _Sites:
    """The site that the tests of one module share, for booting Linux clients takes most of their time."""

    def __init__(self, labs, lab, options):
        self.labs, self.lab, self.options = labs, lab, options
        self.site = None

    def lend(self, request):
        if self.site is None or self.site.lab is not self.labs.lab or not self.site.usable():
            lab = self.labs.get(self.lab)
            lab.reset()  # of a site that a test has broken
            request.node.lab = lab
            self.site = Site(lab, **self.options)
        request.node.lab = self.site.lab
        yield self.site
        if self.site.lab.emulator.alive():
            self.site.reset()

    def close(self):
        if self.site and self.site.lab is self.labs.lab and self.site.lab.emulator.alive():
            self.site.close()
            self.site.lab.reset()


def _sites(request, labs, lab):
    sites = _Sites(labs, lab, getattr(request.module, "SITE", {}))
    yield sites
    sites.close()


@pytest.fixture(scope="module")
def _plain_sites(request, _labs):
    yield from _sites(request, _labs, "xenstored")


@pytest.fixture(scope="module")
def _counting_sites(request, _labs):
    yield from _sites(request, _labs, "counting")


@pytest.fixture
def site(request, _plain_sites):
    """A firewall between clients and netvm, see site.py. SITE = {...} in the test's module: its arguments.

    It is the module's: clients stay for the next test. Not beside the fixture lab, which ends with nothing running.
    """
    yield from _plain_sites.lend(request)


@pytest.fixture
def counting_site(request, _counting_sites):
    """The same on the deterministic computer."""
    yield from _counting_sites.lend(request)


both_daemons = pytest.mark.parametrize("lab", ["xenstored", "oxenstored"], indirect=True)


@pytest.fixture
def image(lab):
    """The image that ships, in dom0."""
    return lab.upload(CHECKOUT + "/build/vmlinuz")


def _starter(lab):
    kernel = lab.upload(CHECKOUT + "/build/vmlinuz-test")

    def start(program, words="", **more):
        return lab.domain(program, kernel, ("run=%s %s" % (program, words)).strip(), **more)
    return start


@pytest.fixture
def guest(lab):
    """guest("program", "more words", memory=32): a domain of the test image that runs tests/guest/program.py."""
    return _starter(lab)


@pytest.fixture
def counting_guest(counting_lab):
    """The same on the deterministic computer."""
    return _starter(counting_lab)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the tails of all consoles under a failure."""
    outcome = yield
    report = outcome.get_result()
    lab = getattr(item, "lab", None)
    if not report.failed or lab is None:
        return
    for domain in lab.domains:
        try:
            text = domain.console()
        except Exception as error:  # the lab may be what is broken
            text = str(error)
        report.sections.append(("console of %s" % domain.name, "\n".join(text.splitlines()[-_TAIL:])))
    report.sections.append(("Xen and dom0", "\n".join(lab.xen_log().splitlines()[-_TAIL:])))
