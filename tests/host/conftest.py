"""Fixtures: a whole firewall with wires; and for tests of builds, the image of this checkout, and copies built otherwise."""
import os
import shutil
from types import SimpleNamespace

import pytest

from tests.host import rebuilding
from tests.network import Network


@pytest.fixture
def net():
    """A firewall with an uplink; tests add clients."""
    with Network() as net:
        yield net


@pytest.fixture(scope="session")
def snapshot():
    """A copy of all that a build needs."""
    with rebuilding.copied(rebuilding.CHECKOUT) as checkout:
        yield checkout


@pytest.fixture(scope="session")
def image(snapshot):
    """The image that this checkout's own build makes, as bytes."""
    rebuilding.run(rebuilding.CHECKOUT, ["image"])
    made = rebuilding.built(rebuilding.CHECKOUT)
    if rebuilding.digest(rebuilding.CHECKOUT) != rebuilding.digest(snapshot):  # somebody edits while tests run
        rebuilding.run(snapshot, ["image"])
        made = rebuilding.built(snapshot)
    return made


@pytest.fixture(scope="session")
def elsewhere(snapshot):
    """A copy of the checkout in which a release was made, with everything different that should not matter."""
    with rebuilding.copied(snapshot, order=1, time=1e9) as checkout:
        rebuilding.run(checkout, ["--jobs", "1", "release", "--record"], rebuilding.ODD, umask=0o077)
        yield checkout


@pytest.fixture(scope="session")
def checked(snapshot, elsewhere):
    """Another copy, in which an ordinary user who can make no namespace has checked that release.

    As in a container: `--here`, and the checkout is not at /src. checkout: its path; said: what was printed.
    """
    user = rebuilding.USER if rebuilding.can_be_another_user() else None
    with rebuilding.copied(snapshot, order=3, name="no-spaces", user=user) as checkout:
        shutil.copy(os.path.join(elsewhere, "images", "SHA256SUMS"), os.path.join(checkout, "images"))
        os.chmod(os.path.join(checkout, "images", "SHA256SUMS"), 0o644)  # it was written under umask 077
        variables = rebuilding.present_system(os.path.dirname(checkout) + "/system", user=user)
        said = rebuilding.run(checkout, ["--jobs", "3", "release", "--check", "--here"], variables, user=user)
        yield SimpleNamespace(checkout=checkout, said=said)
