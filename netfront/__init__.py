"""The uplink: a Xen network frontend towards the netvm.

link.py moves frames through the rings of one connection, intake.py those that come in; lent.py knows the pages that the
netvm has, backlog.py what becomes of frames for a netvm without room, net/quarantine.py of pages that it does not give
back. uplink.py makes connections, in xenstore, and survives their ends, as states.py decides; terms.py has what both
sides publish there.
"""
