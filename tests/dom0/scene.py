"""Recorded answers of two firewall qubes with six qubes behind them, as `qubes-firewall-top --stream DIR` reads them.

    python3 -m tests.dom0.scene DIR

An evening: work downloads, chat is refused what its rules do not allow, personal watches a film through a second
firewall, and a
qube has a rule that can not be read. Always the same: nothing here is random.
"""

import json
import os
import sys

LISTING = (
    ("sys-net", "Running", "AppVM", "10.137.0.5", "-", "6.12.54-1.fc41"),
    ("sys-pyfw", "Running", "StandaloneVM", "10.137.0.6", "sys-net", "python-firewall"),
    ("sys-vpn", "Running", "StandaloneVM", "10.137.0.7", "sys-pyfw", "python-firewall"),
    ("work", "Running", "AppVM", "10.137.0.21", "sys-pyfw", "6.12.54-1.fc41"),
    ("chat", "Running", "AppVM", "10.137.0.22", "sys-pyfw", "6.12.54-1.fc41"),
    ("disp7731", "Running", "DispVM", "10.138.12.9", "sys-pyfw", "6.12.54-1.fc41"),
    ("banking", "Running", "AppVM", "10.137.0.23", "sys-pyfw", "6.12.54-1.fc41"),
    ("personal", "Running", "AppVM", "10.137.0.31", "sys-vpn", "6.12.54-1.fc41"),
    ("untrusted", "Halted", "AppVM", "10.137.0.32", "sys-vpn", "6.12.54-1.fc41"),
    ("vault", "Running", "AppVM", "10.137.0.40", "-", "6.12.54-1.fc41"),
)
WORK, CHAT, DISP, BANK, VPN, FILM = (
    "10.137.0.21",
    "10.137.0.22",
    "10.138.12.9",
    "10.137.0.23",
    "10.137.0.7",
    "10.137.0.31",
)
UP = 8054  # seconds since the first one started
WAVE = (3, 5, 8, 12, 9, 14, 18, 17, 20, 19, 22, 24)


def row(**keys):
    return keys


def flow(client, proto, from_port, to, to_port, name, rule, state, out, into, age, idle):
    return row(
        client=client,
        proto=proto,
        from_port=from_port,
        to=to,
        to_port=to_port,
        name=name,
        rule=rule,
        state=state,
        out_packets=out // 500 + 1,
        out_octets=out,
        in_packets=into // 1400 + 1,
        in_octets=into,
        age=age,
        idle=idle,
        outside_port=from_port,
    )


def refusal(client, proto, to, to_port, name, rule, why, first, last, count, type=-1):
    return row(
        client=client,
        proto=proto,
        to=to,
        to_port=to_port,
        name=name,
        rule=rule,
        why=why,
        first=first,
        last=last,
        count=count,
        type=type,
    )


def counted(client, device, up, down, refused=0, drops=None, hits=(), flows=0):
    return row(
        client=client,
        device=device,
        from_packets=up // 600 + 1,
        from_octets=up,
        to_packets=down // 1300 + 1,
        to_octets=down,
        drops=drops or {},
        hits=list(hits),
        first_rule=0,
        more=False,
        new_flows=flows,
        refused=refused,
        lost=0,
        failed=0,
    )


def status(client, device, rules, flows, denied=""):
    return row(
        client=client,
        device=device,
        domain=int(device.split(".")[0]),
        rules=rules,
        loaded=-1 if denied else 4012,
        denied=denied,
        flows=flows,
        limit=65024,
        mtu=1500,
    )


def head(uptime, used, domain, address, gateway):
    return row(
        version="1.0",
        digest="5be1c0ffee15900d",
        uptime=uptime * 1000,
        flows=row(used=used, capacity=65536),
        uplink=row(
            state="connected",
            domain=domain,
            address=address,
            gateway=gateway,
            mtu=1500,
            sg=True,
            gso=True,
            csum=True,
            since=2113,
        ),
        memory=row(heap_used=1200000, heap_free=5000000, pages=2048, pages_free=1792, quarantine=0),
        gap=row(longest_us=1310, cause="1310 us: 1250 in ring services"),
    )


def watch(until, moving, seconds=60):
    """Lines of a minute. moving: {client: (up, down, flows, refused) of a second n}"""
    for second in range(until - seconds + 1, until + 1):
        clients = []
        for client, of in moving.items():
            up, down, flows, refused = of(second)
            if up or down or refused:
                clients.append(
                    row(
                        client=client,
                        from_packets=up // 600 + 1,
                        from_octets=up,
                        to_packets=down // 1300 + 1,
                        to_octets=down,
                        flows=flows,
                        new_flows=int(second % 7 == 0),
                        refused=refused,
                    )
                )
        yield row(at=second * 1000 + 3, clients=clients)


def _download(second):
    step = WAVE[(second // 5) % len(WAVE)]
    return step * 11000, step * 520000 + second % 5 * 90000, 34, 0


def _chat(second):
    return (900, 1400, 4, 1) if second % 3 == 0 else (0, 0, 4, 0)


def _film(second):
    return (24000, 2600000, 6, 0) if second % 10 < 4 else (600, 400, 6, 0)


def answers():
    """{qube: {call: (rows, whether it ends)}}"""
    first = {
        "firewall.Status+json": (
            [
                head(UP - 60, 58, 1, "10.137.0.6", "10.137.0.5"),
                status(WORK, "5.0", 1, 34),
                status(CHAT, "6.0", 3, 4),
                status(DISP, "9.0", 1, 12),
                status(VPN, "4.0", 2, 8),
                status(BANK, "7.0", 0, 0, "0001: dst4: got '192.0.2.0/33', expected an IPv4 address, / and 0 to 32"),
            ],
            True,
        ),
        "firewall.Counters+json": (
            [
                counted("uplink", "uplink", 5123456789, 301234567, drops={"of no flow": 3}),
                counted(WORK, "5.0", 81234567, 3012345678, hits=(412, 0), flows=412),
                counted(CHAT, "6.0", 1204000, 2401000, 87, {"denied by the rules": 87}, (31, 4, 0, 87), 35),
                counted(DISP, "9.0", 402000, 9120000, hits=(40, 0), flows=40),
                counted(VPN, "4.0", 61200000, 2100000000, hits=(2, 9), flows=11),
                counted(BANK, "7.0", 42000, 6000, 140, {"denied by the rules": 140}, (), 0),
            ],
            True,
        ),
        "firewall.Watch+json": (
            list(
                watch(
                    UP,
                    {
                        WORK: _download,
                        CHAT: _chat,
                        VPN: _film,
                        BANK: lambda second: (60, 0, 0, int(second % 20 == 0)),
                        DISP: lambda second: (2000, 30000, 12, 0) if second % 17 < 3 else (0, 0, 12, 0),
                    },
                )
            ),
            False,
        ),
        "firewall.Refused+json": (
            [
                refusal(BANK, "tcp", "203.0.113.20", 443, "", -1, "denied by the rules", 60000, UP * 1000 - 20000, 140),
                refusal(
                    CHAT,
                    "udp",
                    "198.51.100.53",
                    3478,
                    "turn.chat.example",
                    2,
                    "denied by the rules",
                    4200000,
                    7900000,
                    11,
                ),
                refusal(CHAT, "icmp", "192.0.2.1", 0, "", 2, "denied by the rules", 5200000, 7200000, 4, 8),
                refusal(CHAT, "tcp", "10.137.0.21", 445, "", -1, "from client to client", 7000000, 8000000, 2),
                refusal(
                    CHAT,
                    "tcp",
                    "140.82.121.4",
                    22,
                    "github.com",
                    2,
                    "denied by the rules",
                    3100000,
                    UP * 1000 - 4000,
                    70,
                ),
                {"now": True},
            ],
            False,
        ),
        "firewall.Flows+%s+json" % WORK: (
            [
                flow(
                    WORK,
                    "tcp",
                    40122,
                    "192.0.2.50",
                    443,
                    "deb.mirror.example",
                    0,
                    "open",
                    5120000,
                    2412345678,
                    812000,
                    5,
                ),
                flow(
                    WORK,
                    "tcp",
                    40188,
                    "198.51.100.20",
                    443,
                    "files.pythonhosted.org",
                    0,
                    "open",
                    912000,
                    402300000,
                    300000,
                    105,
                ),
                flow(WORK, "tcp", 40190, "140.82.121.4", 22, "github.com", 0, "open", 402000, 90100, 3900000, 42000),
                flow(
                    WORK,
                    "udp",
                    51820,
                    "203.0.113.9",
                    51820,
                    "vpn.example.org",
                    0,
                    "assured",
                    81200,
                    92300,
                    7900000,
                    12000,
                ),
                flow(WORK, "udp", 34012, "10.139.1.1", 53, "", 0, "replied", 74, 190, 900, 880),
                flow(WORK, "icmp", 712, "192.0.2.1", 0, "", 0, "replied", 840, 840, 10000, 300),
            ],
            True,
        ),
        "firewall.Flows+json": ([], True),
        "firewall.Explain+json": (
            [
                row(
                    client=CHAT,
                    proto="tcp",
                    to="140.82.121.4",
                    to_port=22,
                    verdict="drop",
                    rule=2,
                    why="dropped by rule 2: action=drop",
                    type=-1,
                )
            ],
            True,
        ),
    }
    first["firewall.Flows+%s+json" % CHAT] = (
        [flow(CHAT, "tcp", 41000, "192.0.2.7", 443, "chat.example", 1, "open", 120400, 240100, 900000, 1200)],
        True,
    )
    first["firewall.Flows+json"] = (
        first["firewall.Flows+%s+json" % WORK][0] + first["firewall.Flows+%s+json" % CHAT][0],
        True,
    )
    second = {
        "firewall.Status+json": ([head(UP - 65, 6, 4, "10.137.0.7", "10.137.0.6"), status(FILM, "11.0", 2, 6)], True),
        "firewall.Counters+json": (
            [
                counted("uplink", "uplink", 2100000000, 61200000),
                counted(FILM, "11.0", 60100000, 2090000000, hits=(9, 0, 2), flows=9),
            ],
            True,
        ),
        "firewall.Watch+json": (list(watch(UP - 5, {FILM: _film})), False),
        "firewall.Refused+json": ([{"now": True}], False),
        "firewall.Flows+%s+json" % FILM: (
            [
                flow(
                    FILM,
                    "tcp",
                    50012,
                    "203.0.113.77",
                    443,
                    "cdn.film.example",
                    1,
                    "open",
                    50100000,
                    2080000000,
                    4100000,
                    30,
                )
            ],
            True,
        ),
        "firewall.Flows+json": ([], True),
    }
    return {"sys-pyfw": first, "sys-vpn": second}


def text_of(service, rows, ends):
    """An answer as it comes."""
    lines = [{"format": service.split("+")[0].lower(), "version": 1}] + rows + ([{"end": True}] if ends else [])
    return "".join(json.dumps(line) + "\n" for line in lines)


def write(folder):
    """The recorded answers as files in a folder."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "qvm-ls"), "w", encoding="ascii") as file:
        file.write("NAME|STATE|CLASS|IP|NETVM|KERNEL\n" + "".join("|".join(words) + "\n" for words in LISTING))
    for qube, calls in answers().items():
        os.makedirs(os.path.join(folder, qube), exist_ok=True)
        for service, (rows, ends) in calls.items():
            with open(os.path.join(folder, qube, service), "w", encoding="ascii") as file:
                file.write(text_of(service, rows, ends))


if __name__ == "__main__":
    write(sys.argv[1])
