"""The states of a device, which each side writes into its own directory as a decimal number.

Source: Xen public/io/xenbus.h.
"""
from micropython import const

UNKNOWN = const(0)
INITIALISING = const(1)
INIT_WAIT = const(2)
INITIALISED = const(3)
CONNECTED = const(4)
CLOSING = const(5)
CLOSED = const(6)
RECONFIGURING = const(7)
RECONFIGURED = const(8)
