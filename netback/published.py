"""What a client has published about its rings, judged: it writes there whatever it likes."""
from peererror import PeerError
from xenbus import values
from xennumbers import PORT_MAX, REF_MAX


_NODES = (
    "tx-ring-ref", "rx-ring-ref", "event-channel", "request-rx-copy", "multi-queue-num-queues",
    "feature-sg", "feature-gso-tcpv4", "feature-no-csum-offload",
)  # fmt: skip


async def read(store, path):
    """(refs of tx and rx, port, sg, gso, csum) from a frontend's directory. PeerError."""
    tx, rx, port, copies, queues, sg, gso, no_csum = await values.reads(store, path, _NODES)
    refs = values.demanded(_NODES[0], tx, REF_MAX), values.demanded(_NODES[1], rx, REF_MAX)
    if refs[0] == refs[1]:
        raise PeerError("tx-ring-ref and rx-ring-ref are both %d" % refs[0])
    port = values.demanded(_NODES[2], port, PORT_MAX)
    if copies != b"1":
        raise PeerError("request-rx-copy is not 1")
    if queues not in (b"", b"1"):
        raise PeerError("multi-queue-num-queues is %r" % bytes(queues[:20]))
    return refs, port, sg == b"1", gso == b"1", no_csum != b"1"
