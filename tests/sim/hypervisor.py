"""The hypervisor of the simulated Xen, as a library: layout of the machine's file, and the calls.

Source: port/sim/machine.h, which these structures repeat; port/sim/hv_*.c.
"""
import ctypes
import os

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("FIREWALL_SIM") or os.path.join(CHECKOUT, "build", "firewall-sim")
LIBRARY = os.environ.get("FIREWALL_SIM_LIBRARY") or os.path.join(CHECKOUT, "build", "sim", "libxensim.so")

PAGE = 4096
HEADER_FRAMES, DOMAINS, DOMAIN_FRAMES = 4096, 64, 16384  # machine.h
OCTETS = (HEADER_FRAMES + DOMAINS * DOMAIN_FRAMES) * PAGE
XENSTORE_PAGE, CONSOLE_PAGE, FIRST_FREE_PAGE = 4, 5, 6
GRANT_ENTRIES, PORTS, WATCHED = 2048, 1024, 8
GTF_PERMIT, GTF_READONLY, GTF_READING, GTF_WRITING = 1, 4, 8, 16
POWEROFF, REBOOT, CRASH, WATCHDOG = 0, 1, 3, 4
SHUT_DOWN = 1  # machine.h


class Port(ctypes.Structure):
    _fields_ = [("state", ctypes.c_uint16), ("remote_domid", ctypes.c_uint16), ("remote_port", ctypes.c_uint16)]


class Mapping(ctypes.Structure):
    _fields_ = [("ref", ctypes.c_uint32), ("frame", ctypes.c_uint32), ("granter_slot", ctypes.c_uint16),
                ("used", ctypes.c_uint8), ("readonly", ctypes.c_uint8)]


class Domain(ctypes.Structure):  # domain_t of machine.h
    _fields_ = [
        ("domid", ctypes.c_uint16), ("ended", ctypes.c_uint16), ("reason", ctypes.c_uint32),
        ("frames", ctypes.c_uint32), ("port_limit", ctypes.c_uint32),
        ("xenstore_port", ctypes.c_uint32), ("console_port", ctypes.c_uint32),
        ("turn", ctypes.c_uint32), ("preempted", ctypes.c_uint32),
        ("deadline", ctypes.c_uint64), ("hypercalls", ctypes.c_uint64), ("wakes", ctypes.c_uint32),
        ("pending", ctypes.c_uint64 * (PORTS // 64)), ("ports", Port * PORTS), ("mappings", Mapping * 4096),
        ("pins", ctypes.c_uint16 * (2 * GRANT_ENTRIES)), ("stolen_ns", ctypes.c_uint64), ("pages_used", ctypes.c_uint32),
        ("watchdog_ns", ctypes.c_uint64),
    ]


class Fault(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("skip", ctypes.c_uint32), ("count", ctypes.c_uint32)]


class Header(ctypes.Structure):  # machine_t up to its domains
    _fields_ = [
        ("magic", ctypes.c_uint64), ("lock", ctypes.c_uint8 * 40), ("clock_ns", ctypes.c_uint64),
        ("real_start_ns", ctypes.c_uint64), ("wall_ns", ctypes.c_uint64), ("seed", ctypes.c_uint64),
        ("attention", ctypes.c_uint32), ("guard_before", ctypes.c_uint32), ("preempt_every", ctypes.c_uint32),
        ("step_ns", ctypes.c_uint32),
        ("copy_fault", Fault), ("map_fault", Fault),
        ("watch_at", ctypes.c_uint32), ("accesses", ctypes.c_uint32), ("watched", ctypes.c_uint32 * WATCHED),
    ]


_library = None


def library():
    global _library
    if _library is None:
        _library = ctypes.CDLL(LIBRARY)
        _library.hv_domain.restype = ctypes.c_void_p
        _library.hv_first_frame.restype = ctypes.c_uint32
        _library.hv_mapped_frame.restype = ctypes.c_uint32
        _library.hv_runnable.restype = ctypes.c_bool
        _library.hv_now.restype = ctypes.c_uint64
        _library.hv_wait_attention.restype = ctypes.c_uint32
    return _library


class XenError(Exception):
    """A hypercall of the test's was refused: args[0] is -errno or GNTST_*."""


def checked(result):
    if result < 0:
        raise XenError(result)
    return result
