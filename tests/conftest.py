"""What all three kinds of test share: order, options, import paths, wall time and figures.

`./build.py test` runs pytest inside the lab's tool root, with the checkout at /src.
"""
import os
import sys
import time

import pytest

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = ("host", "sim", "xen")
for folder in ("", "port/modules", "tests/stubs"):  # stubs stand in for MicroPython's own modules
    sys.path.insert(0, os.path.join(CHECKOUT, folder) if folder else CHECKOUT)

try:
    from hypothesis import settings

    settings.register_profile("ci", deadline=None, derandomize=True)  # a red run must be red again
    settings.register_profile("own", deadline=None)
    settings.load_profile("ci" if os.environ.get("CI") else "own")
except ImportError:
    pass

_wall = {}  # kind: [first start, last end], seconds of the monotonic clock
_figures = []  # (what, value with its unit, limit or "")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also what takes minutes; full counts even in CI")


def _kind(path):
    parts = os.path.relpath(str(path), os.path.join(CHECKOUT, "tests")).split(os.sep)
    return parts[0] if parts[0] in KINDS else ""


def pytest_collection_modifyitems(config, items):
    """Cheap kinds first: a mistake in a wire format should not wait for Xen to boot."""
    items.sort(key=lambda item: KINDS.index(_kind(item.path)) if _kind(item.path) else len(KINDS))
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: --long"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    span = _wall.setdefault(_kind(item.path), [time.monotonic(), 0])
    yield
    span[1] = time.monotonic()


def pytest_terminal_summary(terminalreporter):
    if _figures:
        terminalreporter.section("figures")
        width = max(len(what) for what, _, _ in _figures)
        for what, value, limit in _figures:
            terminalreporter.line("%-*s  %s%s" % (width, what, value, "  (limit %s)" % limit if limit else ""))
    if _wall:
        spans = ["%s %.0f s" % (kind, end - start) for kind, (start, end) in _wall.items() if kind]
        terminalreporter.section("wall time by kind")
        terminalreporter.line(", ".join(spans))


@pytest.fixture
def figure():
    """figure("image size", "254,624 octets", "800 KB"): a measured value, printed at the end of the run."""
    def note(what, value, limit=""):
        _figures.append((what, str(value), limit))
    return note


@pytest.fixture(scope="session")
def in_ci(request):
    """True where a test is to take its smaller counts: in CI, unless --long."""
    return bool(os.environ.get("CI")) and not request.config.getoption("--long")
