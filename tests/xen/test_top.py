"""`qubes-firewall-top --once --json` on a real Xen is what both vifs and the clients' own interfaces counted."""

from tests.xen import topping
from tests.xen.test_see import at_once, clients, day, of_client  # noqa: F401: a fixture

from qubesfirewall import draw, top  # noqa: E402: found by topping

MOVED = "from_packets", "from_octets", "to_packets", "to_octets"


def told(site):
    """What --once --json prints of the one firewall, and its screen."""
    world = topping.gather(site, 2, True)
    (firewall,) = top.told(world, True)["firewalls"]
    assert (firewall["fault"], firewall["not_understood"]) == ("", 0)
    return firewall, draw.text_of(draw.draw(world, draw.Place(), 80, 24))


def quiet(site, clients):
    """(({neighbour: counters}, the screen), {neighbour: Linux' counters}) of one moment, in which nothing passed."""
    for _ in range(10):
        before = {client.ip: of_client(client) for client in clients}
        before["uplink"] = site.uplink_counters()
        firewall, screen = told(site)
        after = {client.ip: of_client(client) for client in clients}
        after["uplink"] = site.uplink_counters()
        if before == after:
            counted = {qube["address"]: qube for qube in firewall["qubes"]}
            return dict(counted, uplink=firewall["uplink"]), screen, after
    raise AssertionError("it never rests")


def test_top_agrees_with_linux_at_every_end(site, clients, figure):
    """Octet for octet, of DNS, HTTP, ssh-like and UDP from two clients, some of it refused.

    Linux counts no Ethernet header when it receives.
    """
    first, _, linux_first = quiet(site, clients)
    at_once(day, clients)
    last, screen, linux_last = quiet(site, clients)
    for who in [client.ip for client in clients] + ["uplink"]:
        ours = [last[who][key] - first[who][key] for key in MOVED]
        linux = {key: value - linux_first[who][key] for key, value in linux_last[who].items()}
        sent = [linux["tx_packets"], linux["tx_bytes"]]
        assert ours == sent + [linux["rx_packets"], linux["rx_bytes"] + 14 * linux["rx_packets"]], who
    for client in clients:
        qube = last[client.ip]
        assert qube["name"] == client.name.split(".")[0] and qube["refused"] - first[client.ip]["refused"] >= 6
        assert {(row["proto"], row["to_port"]) for row in qube["refusals"]} >= {("tcp", 22), ("icmp", 0)}
        figure("qubes-firewall-top: %s" % qube["name"], "%d octets" % (qube["from_octets"] + qube["to_octets"]))
    rows = {line.split()[0]: line for line in screen.splitlines() if line.strip()}
    assert all(client.ip in rows[client.name.split(".")[0]] for client in clients), screen
