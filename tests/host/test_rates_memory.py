"""Rates where memory is refused: a client whose rings could not be looked at again is not forgotten."""
import interpreter
import pytest

pytestmark = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

SCRIPT = """
from firewall.rates import Rates

class Thing:
    rings, rate = True, None

client = Thing()
client.address = 7
client.interfaces = [Thing(), Thing()]
for number, interface in enumerate(client.interfaces):
    interface.number, interface.client = number, client
looked, refused = {}, [REFUSED]

def pause(number, rings, on):
    if refused[0] == number:
        refused[0] = None
        raise MemoryError
    looked[number] = not on

rates = Rates(None, None, None, pause)
rates.set_rates({7: 1000}, client.interfaces, 0)
try:
    rates.taken(client.interfaces[0], 5000)
except MemoryError:
    pass
second = 1000000000
refused[0] = REFUSED
for at in (10 * second, 20 * second):
    try:
        rates.begin(at)
    except MemoryError:
        print("refused")
print(client.interfaces[0].rate.paused, sorted(looked.items()))
"""


@pytest.mark.parametrize("which", [0, 1])
def test_a_client_goes_on_when_its_rings_could_not_be_looked_at_again(which):
    said = interpreter.run(SCRIPT.replace("REFUSED", str(which)))
    assert said == ["refused", "False [(0, True), (1, True)]"]
