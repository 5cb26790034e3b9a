"""Events: no wake-up may be lost, whatever the number of ports and whoever is at the other end."""
import pytest

from tests.xen.conftest import both_daemons

_LIMIT = 400  # s of the lab's clock; some tens on an idle machine


@pytest.fixture
def rounds(request, in_ci):
    """In CI a tenth with the second daemon, through which no event passes, and where instructions are counted: a price."""
    rounds = 20000 if in_ci else 100000
    daemon = getattr(request.node, "callspec", None) and request.node.callspec.params.get("lab")
    few = daemon == "oxenstored" or "counting_lab" in request.fixturenames
    return rounds // 10 if in_ci and few else rounds


def _to_and_fro_with_dom0(lab, guest, rounds, way):
    asker = guest("pingpong", "peer=0 rounds=%d way=%s" % (rounds, way))
    asker.wait_for("pingpong: port")
    port = int(asker.store_read("data/port"))
    assert lab.call("evtchn.answer", asker.domid, port, rounds, _LIMIT, timeout=_LIMIT + 60) == rounds
    asker.wait_for("pingpong: %d rounds" % rounds)
    return asker.console().split("pingpong: ")[-1].split("\n")[0]


def _to_and_fro_with_another(lab, guest, rounds, way):
    asker = guest("pingpong", "peer=%d rounds=%d way=%s" % (_next_domid(lab), rounds, way))
    asker.wait_for("pingpong: port")
    port = int(asker.store_read("data/port"))
    server = guest("pingpong", "peer=%d rounds=%d way=%s serve=1 port=%d" % (asker.domid, rounds, way, port))
    assert server.domid == asker.domid + 1
    asker.wait_for("pingpong: %d rounds" % rounds, timeout=_LIMIT)
    server.wait_for("pingpong: %d rounds" % rounds, timeout=10)
    return asker.console().split("pingpong: ")[-1].split("\n")[0]


def _next_domid(lab):
    """The number after the one that the next domain will get: Xen gives them one after another."""
    probe = lab.domain("probe", lab.upload("/src/build/vmlinuz"), paused=True)
    probe.destroy()
    return probe.domid + 2


@both_daemons
def test_with_dom0(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py; a process in dom0 answers. The two run on different CPUs."""
    figure("events to and fro with dom0, %s" % lab.xenstore, _to_and_fro_with_dom0(lab, guest, rounds, "loop"))


@both_daemons
def test_with_a_second_domain(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py twice, on different CPUs if Xen likes."""
    figure("events to and fro with a second domain, %s" % lab.xenstore,
           _to_and_fro_with_another(lab, guest, rounds, "bare"))


@pytest.mark.parametrize("way", ["loop", "bare"])
def test_the_price_of_an_event(counting_lab, counting_guest, rounds, figure, way):
    """Boots: tests/guest/pingpong.py twice, where an instruction takes a nanosecond."""
    figure("events to and fro with a second domain, counted, %s" % way,
           _to_and_fro_with_another(counting_lab, counting_guest, rounds, way))


@both_daemons
def test_130_ports(lab, guest):
    """Boots: tests/guest/many_ports.py; dom0 rings all ports at once, ten times, in random order."""
    many = guest("many_ports")
    many.wait_for("many_ports: ready")
    ports = [int(word) for word in many.store_read("data/ports").split()]
    assert len(ports) == len(set(ports)) == 130
    answers = lab.call("evtchn.ring_all", many.domid, ports, 10, 100, timeout=120)
    assert len(answers) == 130
    assert min(answers) == max(answers) == 10
    many.store_write("data/stop", "1")
    many.wait_for("many_ports: seen ")
