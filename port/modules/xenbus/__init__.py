"""xenstore: the wire protocol, the ring to xenstored, requests and watches, and the values of nodes.

Source: Xen docs/misc/xenstore.txt and xenstore-ring.txt, public/io/xs_wire.h, public/io/xenbus.h.
"""
