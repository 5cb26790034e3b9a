"""The uplink: a Xen network frontend towards the netvm.

link.py moves frames through the rings of one connection; uplink.py makes connections, in xenstore, and survives
their ends.
"""
