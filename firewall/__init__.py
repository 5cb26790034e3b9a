"""The firewall's decisions: what a packet is, whose it is, and where it may go.

The judge and all that it asks talk to no ring and read no clock: packets, times and random numbers
come in as arguments, verdicts and packets go out. The same files run under CPython and MicroPython.
What joins them to the rest of the image: main.py, forward.py (rings), qubes/ (dom0), status.py.
"""
