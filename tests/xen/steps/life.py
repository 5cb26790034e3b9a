"""Vifs attached, used and detached by xenstore writes alone; dom0 is toolstack and client at once."""
import holdings
import pyxs
from frontend import Frontend
from toolstack import CLOSED, CLOSING, Device, Late

GATEWAY = "10.137.0.9"


def _follows(device, frontend):
    """As Linux does: Closed when the backend says Closing."""
    device.ask_for_removal()
    device.wait(device.backend + b"/state", CLOSING, CLOSED, None)
    frontend.close()


def _jumps(device, frontend):
    """Closed before dom0 has asked."""
    frontend.close()
    device.ask_for_removal()


def _vanishes(device, frontend):
    """Its directory goes in the transaction that asks: a domain was destroyed, and took its pages with it."""
    device.ask_for_removal(forced=True)
    frontend.close()


def _sleeps(device, _):
    """It never answers, and holds its pages until dom0 has gone on."""
    device.ask_for_removal()


def cycles(backend, rounds, sleepy=10):
    """`rounds` times: three vifs attached, connected, used for an ARP request and detached, each in another manner.

    In every `sleepy`th round one of them does not answer dom0. Returns ([s of the slowest offer, close, removal],
    {answer to the request: how often}). Raises Late.
    """
    slowest, answers = [0.0, 0.0, 0.0], {}
    with pyxs.Client() as store:
        for n in range(rounds):
            frontends = {}
            for i, end in enumerate((_follows, _jumps, _sleeps if n % sleepy == sleepy - 1 else _vanishes)):
                device = Device(store, backend, 0, i, "10.137.0.%d" % (20 + n % 5 + i))
                slowest[0] = max(slowest[0], device.attach())
                frontend = frontends[device] = Frontend(device)
                frontend.connect()
                answer = frontend.ask(GATEWAY)
                answers[answer] = answers.get(answer, 0) + 1
                frontend.end = end
            for device, frontend in frontends.items():
                frontend.end(device, frontend)
            for device, frontend in frontends.items():
                slowest[1:] = map(max, slowest[1:], device.wait_for_removal())
                if not frontend.closed:
                    frontend.close()
    return slowest, answers


def fill(backend, most):
    """Attach vifs until the backend no longer offers itself, `most` at the most, and look who is served; detach them all.

    The refused one goes first, while nothing else has been freed. Returns (vifs offered, what dom0 saw of the next or
    None, answers to ARP requests of the first and the last offered, nodes of the domain then). Raises Late.
    """
    with pyxs.Client() as store:
        devices, refused = [], None
        while refused is None and len(devices) < most:
            devices.append(Device(store, backend, 0, len(devices), "10.137.1.%d" % len(devices)))
            try:
                devices[-1].attach()
            except Late as reason:
                refused = str(reason)
        offered = devices[:-1] if refused else devices
        answers = [_use(device) for device in (offered[0], offered[-1])]
        nodes = holdings.in_store(backend)["nodes"]
        for some in (devices[len(offered):], offered):
            for device in some:
                device.ask_for_removal()
            for device in some:
                device.wait_for_removal()
    return len(offered), refused, answers, nodes


def _use(device):
    """Connect, ask for the gateway, close: the answer."""
    frontend = Frontend(device)
    frontend.connect()
    answer = frontend.ask(GATEWAY)
    frontend.close()
    return answer
