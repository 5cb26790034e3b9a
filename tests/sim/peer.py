"""A domain of the simulated Xen that the test plays."""
import ctypes

from hypervisor import (FIRST_FREE_PAGE, GRANT_ENTRIES, GTF_PERMIT, GTF_READING, GTF_READONLY, GTF_WRITING, PAGE, PORTS,
                        Domain, checked)


class Peer:
    """A domain played by the test: its pages, grants and event channels, by the real hypercalls."""

    def __init__(self, machine, domid, frames):
        self.machine, self.domid = machine, domid
        self.hv, self.at = machine.hv, machine.at
        checked(self.hv.hv_create(self.at, domid, frames))
        self.first = self.hv.hv_first_frame(self.at, domid)
        self.end = self.first + frames
        self.domain = Domain.from_address(self.hv.hv_domain(self.at, domid))
        self._next_frame = self.first + FIRST_FREE_PAGE
        self._free_frames = []
        self._free_refs = list(range(GRANT_ENTRIES - 1, 7, -1))
        table = machine.view[self.first * PAGE : (self.first + 4) * PAGE]
        self.halves = table.cast("H")  # of the grant table
        self.words = table.cast("I")

    def kill(self):
        """The domain dies as under `xl destroy`."""
        self.machine.domains.pop(self.domid, None)
        self.hv.hv_destroy(self.at, self.domid)

    # memory
    def page(self):
        """A page of its memory, zeroed: its frame number."""
        if self._free_frames:
            frame = self._free_frames.pop()
            self.octets(frame)[:] = bytes(PAGE)
            return frame
        frame, self._next_frame = self._next_frame, self._next_frame + 1
        assert frame < self.end, "domain %d is out of memory" % self.domid
        return frame

    def free_page(self, frame):
        self._free_frames.append(frame)

    def octets(self, frame):
        """A frame's octets, whoever's it is."""
        return self.machine.view[frame * PAGE : (frame + 1) * PAGE]

    # grants
    def grant(self, frame, domid, readonly=False):
        ref = self._free_refs.pop()
        self.words[2 * ref + 1] = frame
        self.halves[4 * ref + 1] = domid
        self.halves[4 * ref] = GTF_PERMIT | (GTF_READONLY if readonly else 0)
        return ref

    def in_use(self, ref):
        return self.halves[4 * ref] & (GTF_READING | GTF_WRITING) != 0

    def revoke(self, ref):
        """False while somebody uses the page."""
        if self.in_use(ref):
            return False
        self.halves[4 * ref] = 0
        self._free_refs.append(ref)
        return True

    def map(self, domid, ref, readonly=False):
        """(handle, octets) of another's page. XenError."""
        handle = checked(self.hv.hv_map(self.at, self.domid, domid, ctypes.c_uint32(ref), readonly))
        return handle, self.octets(self.hv.hv_mapped_frame(self.at, self.domid, handle))

    def unmap(self, handle):
        checked(self.hv.hv_unmap(self.at, self.domid, handle))

    # event channels
    def evtchn_alloc(self, domid):
        return checked(self.hv.hv_evtchn_alloc(self.at, self.domid, domid))

    def evtchn_bind(self, domid, port):
        return checked(self.hv.hv_evtchn_bind(self.at, self.domid, domid, port))

    def evtchn_send(self, port):
        return checked(self.hv.hv_evtchn_send(self.at, self.domid, port))

    def evtchn_close(self, port):
        return checked(self.hv.hv_evtchn_close(self.at, self.domid, port))

    def pending(self):
        """Ports that had events since last asked."""
        ports = (ctypes.c_uint16 * 256)()
        return list(ports[: self.hv.hv_evtchn_take(self.at, self.domid, ports, 256)])

    # for comparisons
    def ports_in_use(self):
        return [port for port in range(1, PORTS) if self.domain.ports[port].state]

    def granted(self):
        return [ref for ref in range(8, GRANT_ENTRIES) if self.halves[4 * ref]]

    def mapped(self):
        return sum(1 for mapping in self.domain.mappings if mapping.used)
