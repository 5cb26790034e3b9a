"""What all three kinds of test share: order, options, import paths, wall time and figures.

`./build.py test` runs pytest inside the lab's tool root, with the checkout at /src.
"""
import os
import sys

import pytest

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = ("host", "sim", "xen")
for folder in ("", "port/modules", "tests/host", "tests/stubs"):  # stubs stand in for MicroPython's own modules
    sys.path.insert(0, os.path.join(CHECKOUT, folder) if folder else CHECKOUT)

try:
    from hypothesis import settings

    settings.register_profile("ci", deadline=None, derandomize=True)  # a red run must be red again
    settings.register_profile("own", deadline=None)
    settings.load_profile("ci" if os.environ.get("CI") else "own")
except ImportError:
    pass

# what --quick leaves out: whole images built again, long sweeps and long series of cycles, half of all the time together
SLOW = {
    "host": {"test_apt_settings", "test_icmp_direction", "test_mutation", "test_once", "test_release", "test_reproducible",
             "test_rules_nftables", "test_segment"},
    "sim": {"test_splits_client", "test_splits_netvm", "test_whole_firewall"},
}
QUICK_ON_XEN = ("test_boots_and_says_who_it_is[32]",)

from tests.xen import cases  # noqa: E402: by the paths above

_table = cases.Table()
_wall = {}  # kind: [first start, last end], seconds since the epoch
_figures = []  # (what, value with its unit, limit or "")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also what takes minutes; full counts even in CI")
    parser.addoption("--order", metavar="SEED", help="tests on Xen in another order; or \"reversed\"")
    parser.addoption("--quick", action="store_true", help="the inner loop: no test that takes long, and one boot on a real Xen")


def _kind(path):
    parts = os.path.relpath(str(path), os.path.join(CHECKOUT, "tests")).split(os.sep)
    return parts[0] if parts[0] in KINDS else ""


def pytest_itemcollected(item):
    """Each group stays in one process, beside another one, see build.py; the others are in xen/conftest.py."""
    if _kind(item.path) in ("host", "sim"):
        item.add_marker(pytest.mark.xdist_group("host and sim"))


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(config, items):
    """Cheap kinds first: a mistake in a wire format should not wait for Xen to boot."""
    items.sort(key=lambda item: KINDS.index(_kind(item.path)) if _kind(item.path) else len(KINDS))
    yield
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: --long"))
    if config.getoption("--quick"):
        _deselect(config, items, [item for item in items if not _quick(item)])


def _deselect(config, items, others):
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]


def _quick(item):
    kind, module = _kind(item.path), item.path.stem
    return item.name in QUICK_ON_XEN if kind == "xen" else module not in SLOW.get(kind, ())


def pytest_runtest_logreport(report):
    """Where tests run in several processes, reports are what reaches the one that prints."""
    span = _wall.setdefault(_kind(os.path.join(CHECKOUT, report.nodeid)), [report.start, 0])
    span[0], span[1] = min(span[0], report.start), max(span[1], report.stop)
    if report.when == "call" or report.outcome != "passed":
        _table.note(report.nodeid.rpartition("::")[2].partition("[")[0], report.outcome)
    if report.when == "teardown":
        _figures.extend(value for name, value in report.user_properties if name == "figure")


def pytest_terminal_summary(terminalreporter):
    if _figures:
        terminalreporter.section("figures")
        width = max(len(what) for what, _, _ in _figures)
        for what, value, limit in _figures:
            terminalreporter.line("%-*s  %s%s" % (width, what, value, "  (limit %s)" % limit if limit else ""))
    if _table.begun():
        terminalreporter.section("Qubes' own network cases")
        for row in _table.rows():
            terminalreporter.line("%-4s  %-34s  %s" % row)
    if _wall:
        spans = ["%s %.0f s" % (kind, end - start) for kind, (start, end) in _wall.items() if kind]
        terminalreporter.section("wall time by kind")
        terminalreporter.line(", ".join(spans))


@pytest.fixture
def figure(record_property):
    """figure("image size", "254,624 octets", "800 KB"): a measured value, printed at the end of the run."""
    def note(what, value, limit=""):
        record_property("figure", (what, str(value), limit))
    return note


@pytest.fixture(scope="session")
def in_ci(request):
    """True where a test is to take its smaller counts: in CI, unless --long."""
    return bool(os.environ.get("CI")) and not request.config.getoption("--long")
