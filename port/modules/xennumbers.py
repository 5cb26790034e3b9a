"""Numbers of Xen's interface that more than one module needs. Each has its one owner here.

An imported number is a look-up in a module's names each time. So modules that run for every packet have a private copy,
`_PAGE = const(4096)`, which the compiler puts in its place; tests/host/test_numbers.py compares all copies with their
owners.

Source: Xen public/xen.h, public/event_channel.h.
"""
from micropython import const

PAGE = const(4096)  # octets
DOMID_MAX = const(0x7FEF)  # the last number that a domain can have
DOMID_SELF = const(0x7FF0)  # the domain that asks
PORT_MAX = const(0x1FFFF)  # the last event channel that a domain can have
REF_MAX = const(0xFFFFFFFF)  # of grant references, which are 32 bits wide
