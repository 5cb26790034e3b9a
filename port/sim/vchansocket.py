"""vchan over Unix sockets, as Qubes' own stand-in for tests does it: vchan.SERVER.CLIENT.PORT.sock in a folder.

The server listens, the client connects, tries again while nobody listens, and then both are streams without any
handshake. A client that connected counts as come when the server accepts it. vchan_socket.c does what needs Linux.

Source: Qubes core-vchan-socket, README.md.
"""
import loop
import vchan_socket
from asyncio import sleep_ms
from micropython import const
from vchan.channel import Channel

enabled = vchan_socket.enabled

_RETRY_MS = const(100)
_CAPACITY = const(4096)  # what a packet may be: the kernel's buffers are much larger

_channels = []
_listening = []  # Flags of those that wait for a client


def _wake():
    """Something happened on some socket."""
    for channel in _channels:
        channel.changed.set()
    for flag in _listening:
        flag.set()


def _bind():
    """The one port on which all sockets report; it is made at the first use."""
    port = vchan_socket.port()
    if port:
        loop.bind(port, _wake)


class SocketChannel(Channel):
    def __init__(self, name, file):
        super().__init__(name)
        self.file = file
        self.capacity = _CAPACITY
        _channels.append(self)

    def _ready(self):
        return vchan_socket.ready(self.file)

    def _room(self):
        return _CAPACITY if vchan_socket.writable(self.file) else 0

    def _take(self, n):
        return vchan_socket.take(self.file, n)

    def _put(self, octets, start):
        return vchan_socket.put(self.file, octets, start)

    def _arm(self, reading, writing):
        if not self.closed:
            vchan_socket.arm(self.file, reading, writing)

    def _peer_open(self):
        return vchan_socket.is_open(self.file)

    def _release(self):
        _channels.remove(self)
        vchan_socket.close(self.file)


async def connect(store, server, port, largest=0):
    own = int(await store.read("domid"))
    _bind()
    while True:
        file = vchan_socket.connect(server, own, port)
        if file >= 0:
            return SocketChannel("domain %d port %d" % (server, port), file)
        await sleep_ms(_RETRY_MS)


async def accept(store, client, port, octets_in, octets_out):
    own = int(await store.read("domid"))
    _bind()
    listener = vchan_socket.listen(own, client, port)
    flag = loop.Flag()
    _listening.append(flag)
    try:
        while True:
            file = vchan_socket.accept(listener)
            if file >= 0:
                return SocketChannel("domain %d port %d" % (client, port), file)
            vchan_socket.arm(listener, True, False)
            await flag.wait()
    finally:
        _listening.remove(flag)
        vchan_socket.close(listener)
