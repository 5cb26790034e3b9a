"""A vchan that sends back whatever it gets: run=try_vchan mode=client|server peer=DOMID port=N in=OCTETS out=OCTETS.

Prints "open", "closed" and "lie ...", and begins again. packet=N: N octets at once instead, when the peer has sent
as many. every second "held N" tells the pages that peers hold against their right.
"""
import asyncio

from peererror import PeerError
from vchan import memory, transport
from vchan.channel import Closed


async def main(store, words):
    asyncio.create_task(_tell())
    domid, port = int(words.get("peer", "0")), int(words["port"])
    while True:
        if words["mode"] == "client":
            channel = await transport.connect(store, domid, port)
        else:
            channel = await transport.accept(store, domid, port, int(words.get("in", "4096")), int(words.get("out", "4096")))
        print("open")
        try:
            await _echo(channel, int(words.get("packet", "0")))
        except Closed:
            print("closed")
        except PeerError as lie:
            print("lie", lie)
        finally:
            channel.close()


async def _echo(channel, packet):
    while True:
        if packet:
            await channel.write_packet(await channel.read(packet))
        else:
            await channel.write(await channel.read_some(3000))


async def _tell():
    before = 0
    while True:
        await asyncio.sleep(1)
        if memory.held.lent() != before:
            before = memory.held.lent()
            print("held", before)
