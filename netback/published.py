"""What a client has published about its rings, judged: it writes there whatever it likes."""
import xsvalues as nodes
from micropython import const
from peererror import PeerError

_REF_MAX = const(0xFFFFFFFF)
_PORT_MAX = const(0x1FFFF)


async def read(store, path):
    """(refs of tx and rx, port, sg, gso, csum) from a frontend's directory. PeerError."""
    refs = (
        await nodes.required(store, path + "/tx-ring-ref", _REF_MAX),
        await nodes.required(store, path + "/rx-ring-ref", _REF_MAX),
    )
    if refs[0] == refs[1]:
        raise PeerError("tx-ring-ref and rx-ring-ref are both %d" % refs[0])
    port = await nodes.required(store, path + "/event-channel", _PORT_MAX)
    if not await nodes.flag(store, path + "/request-rx-copy"):
        raise PeerError("request-rx-copy is not 1")
    queues = await nodes.read(store, path + "/multi-queue-num-queues")
    if queues not in (b"", b"1"):
        raise PeerError("multi-queue-num-queues is %r" % bytes(queues[:20]))
    sg = await nodes.flag(store, path + "/feature-sg")
    gso = await nodes.flag(store, path + "/feature-gso-tcpv4")
    csum = not await nodes.flag(store, path + "/feature-no-csum-offload")
    return refs, port, sg, gso, csum
