"""What a client has published about its rings, judged: it writes there whatever it likes."""
from peererror import PeerError
from xenbus import values
from xennumbers import PORT_MAX, REF_MAX


async def read(store, path):
    """(refs of tx and rx, port, sg, gso, csum) from a frontend's directory. PeerError."""
    refs = (
        await values.required(store, path + "/tx-ring-ref", REF_MAX),
        await values.required(store, path + "/rx-ring-ref", REF_MAX),
    )
    if refs[0] == refs[1]:
        raise PeerError("tx-ring-ref and rx-ring-ref are both %d" % refs[0])
    port = await values.required(store, path + "/event-channel", PORT_MAX)
    if not await values.flag(store, path + "/request-rx-copy"):
        raise PeerError("request-rx-copy is not 1")
    queues = await values.read(store, path + "/multi-queue-num-queues")
    if queues not in (b"", b"1"):
        raise PeerError("multi-queue-num-queues is %r" % bytes(queues[:20]))
    sg = await values.flag(store, path + "/feature-sg")
    gso = await values.flag(store, path + "/feature-gso-tcpv4")
    csum = not await values.flag(store, path + "/feature-no-csum-offload")
    return refs, port, sg, gso, csum
