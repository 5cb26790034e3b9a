"""The firewall: everything put together.

    netback.Backends ──attach──▶ Firewall ◀──attach── netfront.Uplink
                                    │
       Settings ──rules, network──▶ ├─▶ Neighbours, Judge   (who may send what)
                                    └─▶ Forwarder           (the ring service)

Clients are offered their backends at once, whatever else is missing: without rules they are denied, without an
uplink they are told so. Nothing here waits for anything but xenstore.
"""
import asyncio
import gc

import control
import loop
import scattered
import status
import supervisor
import xen
from log import Log
from micropython import const
from net.pool import Pool
from net.quarantine import Quarantine
from netback import goodbye
from netback.link import BackLink
from netback.watch import Backends
from netfront.uplink import Uplink

from firewall import starting
from firewall.capture import Taps
from firewall.forward import TICK_MS, Forwarder
from firewall.gateway import Gateway
from firewall.judge import Judge
from firewall.naming import Naming
from firewall.neighbours import Neighbours
from firewall.qubes import features
from firewall.qubes.agent import Agent
from firewall.qubes.settings import Settings
from firewall.services.notify import Notifier
from firewall.services.table import Services
from firewall.stalls import Stalls
from firewall.sweeper import Sweeper
from firewall.status import lines
from firewall.told import Told

_LARGE = const(23 << 20)  # octets outside the heap; with less: the sizes of a 24 MB domain
_COLLECT_NS = const(60000000000)  # from one collection in a quiet moment to the next
_LITTLE = const(256 << 10)  # octets of garbage that are not worth one
_MAC_WITHOUT = b"\x00\x16\x3e\x5e\x6c\x00"  # Qubes' default, should dom0 name none

_log = Log("firewall")


async def main(store, words):
    """The program of the image that ships; boot.py starts it. words: of the command line."""
    firewall = Firewall(store, Settings, fast=words.get("fast") != "off")
    firewall.start()
    firewall.settings.start()
    firewall.answer()


class Firewall(Told):
    """settings: told of clients that come and go; it calls what stands under "what settings tell"."""

    def __init__(self, store, make_settings, fast=True):
        """make_settings(store, firewall) -> settings. fast: as forward.Forwarder has it."""
        large = xen.memory()[1] >= _LARGE
        scattered.draw(xen.random)
        self.store = store
        self.pool = Pool(2048 if large else 1024)
        self.neighbours = Neighbours(65536 if large else 32768, _words, xen.random)
        self.judge = Judge(self.neighbours, xen.random)
        self.forwarder = Forwarder(self.judge, self.neighbours.interfaces, self.pool, fast)
        self.taps = Taps(self.pool)
        self.notifier = Notifier(self)
        self.set_notify = self.notifier.switch  # what settings call
        self.backends = Backends(store, self._connect, self._attach, self._detach, self._change)
        self.quarantine = Quarantine(self.pool)
        self.gateway = Gateway(self.forwarder, self.neighbours)
        self.naming = Naming(self.neighbours, self.judge, xen.random, self.gateway.emit, Log("names").warning)
        self.names = self.naming.names
        self.settings = make_settings(store, self)
        self.uplink = Uplink(store, self.pool, self.quarantine, self._uplink_attached, self._uplink_detached)
        self.stalls = Stalls(self.uplink)
        self.sweeper = Sweeper(self.neighbours)
        self.agent = None  # of qrexec
        self.network = None  # what settings say about the uplink
        self.came = asyncio.Event()  # the uplink has been up once
        self.up = False
        self.up_since = 0  # ms

    def start(self):
        """Spawn all tasks; frames flow as soon as links and rules are there."""
        loop.serve(self.forwarder.service, self.forwarder.quick)
        status.add(lambda: lines(self))
        control.before_end("goodbye", self.backends.leave, goodbye.MOST_MS)
        supervisor.spawn("backends", self.backends.run, supervisor.SERVICE)
        supervisor.spawn("uplink", self.uplink.run, supervisor.SERVICE)
        supervisor.spawn("start", lambda: starting.run(self), supervisor.LINK)
        supervisor.spawn("quarantine", self.uplink.watch_quarantine, supervisor.SERVICE)
        supervisor.spawn("rates", self.forwarder.rates.run, supervisor.SERVICE)
        supervisor.spawn("flows", self._tick, supervisor.FATAL)
        supervisor.spawn("names", lambda: self.naming.run(loop.Flag(), xen.ns), supervisor.SERVICE)

    def answer(self):
        """From now on dom0 can call services, and we can call others'."""
        services = Services(self)
        self.agent = agent = Agent(self.store, services)
        agent.start()
        supervisor.spawn("notify", self.notifier.run, supervisor.SERVICE)
        database, wake = self.settings.database, self.settings.connection.wake
        told = features.announce(agent, database, wake, services.names())
        supervisor.spawn("features", lambda: told, supervisor.LINK)

    # ---- what settings tell -------------------------------------------------------------------

    def set_rules(self, address, rules):
        """An attached client's list is committed; it counts at the next packet."""
        if self.neighbours.set_rules(address, rules):
            client = self.neighbours.clients.by_address[address]
            self.neighbours.accounts.by_slot[client.slot].loaded = xen.ns() // 1000000
            self.names.in_force(address, rules, xen.ns() // 1000000)

    def set_ours(self, address):
        """The address that clients know us by: pings to it are answered, errors come from it (0: the uplink's)."""
        self.neighbours.gateway = address

    def set_network(self, address, gateway, ours=0):
        """Our address on the uplink, the netvm's, and the one that clients know us by."""
        self.network = (address, gateway)
        self.set_ours(ours)
        self._uplink_down()
        self._uplink_up()

    def seeded(self):
        """QubesDB's seed was mixed in: what was drawn before is drawn anew. At boot there is no flow yet."""
        self.judge.rekey()

    def set_connected(self, addresses):
        """The addresses of all clients that exist, running or not. If dom0 says it, no other gets anything from now on."""
        self.neighbours.set_connected(addresses, only=isinstance(self.settings, Settings))

    # ---- clients ------------------------------------------------------------------------------

    def _connect(self, name, domid, refs, port, sg, gso, csum):
        return BackLink(name, self.pool, domid, refs, port, sg, gso, csum)

    def _attach(self, vif):
        if vif.address is None:
            return  # which netback has told: nothing is forwarded
        interface = None
        number = self.neighbours.interfaces.free_number()
        if number >= 0:
            interface = self.neighbours.attach(vif.address, number, vif.mac or _MAC_WITHOUT, vif.mtu())
        if not interface:
            _log.error("vif %s: too many clients", vif.name)
            return
        try:
            interface.owner = vif
            loop.bind(vif.link.port)
            self.forwarder.add(interface, vif)
            self.names.attached(vif.address)
            self.settings.attached(vif.address)
        except BaseException:
            self._forget(vif, interface)
            raise

    def _change(self, vif):
        """Its Ethernet address or MTU is another one from now on."""
        interface = self.neighbours.interfaces.of(vif)
        if interface:
            self.neighbours.change(interface, vif.mac or _MAC_WITHOUT, vif.mtu())

    def _detach(self, vif):
        interface = self.neighbours.interfaces.of(vif)
        if interface:
            self._forget(vif, interface)

    def _forget(self, vif, interface):
        """Undo an attachment, even an incomplete one. MemoryError: call it again."""
        if interface.rings:
            self.forwarder.remove(interface)
            vif.link.dropped = 0  # counted there
        loop.unbind(vif.link.port)
        if len(interface.client.interfaces) == 1:
            self.settings.detached(vif.address)
            self.names.detached(vif.address)
        self.taps.gone(interface.number)
        self.neighbours.detach(interface.number)
        self.sweeper.stir()
        self.forwarder.active.set()

    # ---- the uplink ---------------------------------------------------------------------------

    def _uplink_attached(self, uplink):
        try:
            for port in uplink.link.ports:
                loop.bind(port)
            self.forwarder.add(self.neighbours.attach_uplink(), uplink)
            self._uplink_up()
        except BaseException:
            self._uplink_detached(uplink)
            raise

    def _uplink_detached(self, uplink):
        """Undo an attachment, even an incomplete one."""
        self._uplink_down()
        if self.forwarder.uplink:
            self.forwarder.remove(self.forwarder.uplink)
        self.neighbours.detach_uplink()
        for port in uplink.link.ports:
            loop.unbind(port)

    def _uplink_up(self):
        """Link and addresses are both known: frames may go."""
        if self.up or not self.network or not self.uplink.link:
            return
        self.up = True
        self.up_since = xen.ns() // 1000000
        address, gateway = self.network
        try:
            mac = self.uplink.mac or _MAC_WITHOUT
            self.gateway.ask(self.neighbours.uplink_up(address, mac, gateway, self.uplink.mtu))
            self.names.set_up(True, gateway)
            self.came.set()
        except BaseException:
            self._uplink_down()
            raise

    def _uplink_down(self):
        if self.up:
            self.names.set_up(False)
            self.neighbours.uplink_down()
            self.up = False
            self.gateway.stop()

    # ---- time ---------------------------------------------------------------------------------

    async def _tick(self):
        """Do what is due, every 50 ms. With no fragment or waiting frame nothing is, until a flow expires: it sleeps.

        A tick that memory is refused for is done again by the next.
        """
        collected, active = xen.ns(), self.forwarder.active
        while True:
            ns = xen.ns()
            now = ns // 1000000
            try:
                if self.sweeper.waits(now) or self.neighbours.fragments.octets:
                    self.sweeper.tick(now)
                self.stalls.tick(now)
                if not self._waits_for_time():
                    moved, active.state = active.state, False
                    due = ns - collected > _COLLECT_NS and xen.garbage() > _LITTLE
                    if due and not moved:
                        collected = ns
                        gc.collect()
                    rest = self.sweeper.rest(now)
                    if not (due and moved or 0 <= rest <= TICK_MS):
                        await active.sleep(rest)
                        continue
            except MemoryError:
                gc.collect()
            await asyncio.sleep_ms(TICK_MS)

    def _waits_for_time(self):
        return (
            self.sweeper.waits(xen.ns() // 1000000 + TICK_MS) or self.neighbours.fragments.octets
            or self.forwarder.holding() or self.stalls.waits()
        )  # fmt: skip


def _words(n):
    return xen.view(xen.mem(4 * n), "I")
