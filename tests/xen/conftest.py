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
        self.site = self.site_kind = None

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


def _place(item):
    """In the order of labs; those that share a site are the last of theirs."""
    fixtures = set(getattr(item, "fixturenames", ()))
    wanted = getattr(item, "callspec", None) and item.callspec.params.get("lab") or "xenstored"
    if fixtures & {"counting_lab", "counting_site"}:
        wanted = "counting"
    return _WANTED.index(wanted), bool(fixtures & {"site", "counting_site"})


def pytest_itemcollected(item):
    """The clock of the deterministic computer stands still while the machine does other things."""
    wanted, on_site = _place(item)
    if _WANTED[wanted] == "counting":
        item.add_marker(pytest.mark.xdist_group("counting site" if on_site else "counting lab"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Tests that share a lab follow one another."""
    ours = [item for item in items if item.path.is_relative_to(CHECKOUT + "/tests/xen")]
    if ours:
        first = items.index(ours[0])
        ours.sort(key=_place)
        items[first:first + len(ours)] = ours


@pytest.fixture(scope="session")
def _labs():
    labs = Labs()
    yield labs
    labs.close()


def _lend(request, labs, name):
    labs.close_site()
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


def _lend_site(request, labs, name):
    site = labs.get_site(name, getattr(request.module, "SITE", {}))
    request.node.lab = site.lab
    yield site
    if site.lab.emulator.alive():
        site.reset()


@pytest.fixture
def site(request, _labs):
    """A firewall between clients and netvm, see site.py. SITE = {...} in the test's module: its arguments.

    It is shared by tests with equal arguments, for booting Linux clients takes most of their time: clients stay.
    """
    yield from _lend_site(request, _labs, "xenstored")


@pytest.fixture
def counting_site(request, _labs):
    """The same on the deterministic computer."""
    yield from _lend_site(request, _labs, "counting")


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
