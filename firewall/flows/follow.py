"""What a packet does to its flow: the way of the answers, the state, the time, the counters. The judge has let it go.

Nothing is asked here and nothing is refused. A step of the state that changes the flow's rank (state.RANK) moves it in
its client's lists, and perhaps its mapping, by move().
"""
from firewall.flows import state
from firewall.flows.record import BACK, CLIENT, EGRESS, OCTETS, PACKETS, SEEN, WORDS
from firewall.wire import ipv4


def follow(flows, at, p, now):
    """Packet p goes as the half at word `at` of the records says."""
    w = flows.records
    if w[at + CLIENT]:
        # answers go to the interface that the client used last (HVM's two with one address)
        back = (at ^ BACK) + EGRESS
        w[back] = w[back] & 0xFFFF0000 | p.ingress.number
    there = (at & ~BACK) + EGRESS
    old = w[there] >> 16
    turned = state.step(old, state.event(p.flags) if p.proto == ipv4.TCP else state.DATA, at & BACK)
    if turned != old:
        if state.RANK[turned] == state.RANK[old]:
            w[there] = w[there] & 0xFFFF | turned << 16
        else:
            flows.move(at // WORDS, turned)
    w[at + SEEN] = now & 0xFFFFFFFF
    w[at + PACKETS] = w[at + PACKETS] + 1 & 0xFFFFFFFF
    w[at + OCTETS] = w[at + OCTETS] + p.total & 0xFFFFFFFF
