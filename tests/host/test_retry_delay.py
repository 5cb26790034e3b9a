"""The delay between two tries, as vifs and the uplink have it."""
import sys
import types

import pytest


@pytest.fixture
def device(monkeypatch):
    """xenbus.device, which needs a loop of its own only to wait."""
    monkeypatch.setitem(sys.modules, "loop", types.SimpleNamespace(Flag=object))
    before = sys.modules.pop("xenbus.device", None)
    from xenbus import device
    yield device
    sys.modules.pop("xenbus.device", None)
    if before:
        sys.modules["xenbus.device"] = before


def test_twice_as_long_each_time_and_no_longer_than_the_last(device):
    delay = device.Delay(200, 5000)
    assert [delay.next() for _ in range(7)] == [200, 400, 800, 1600, 3200, 5000, 5000]
    assert delay.ms == 5000
    delay.reset()
    assert delay.ms == delay.next() == 200 and delay.ms == 400
