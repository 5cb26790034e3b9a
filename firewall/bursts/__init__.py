"""The fast path over links: packets of known flows go from ring to ring in machine code, a burst at a time.

through.py has what is common to all, clients.py and uplink.py the two kinds of ring. What fast/ does not do is done
by the slow path, packet by packet and in the same order, so there is no packet of which anything here decides.
"""
