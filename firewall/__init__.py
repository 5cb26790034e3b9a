"""The firewall's mind: what a packet is, whose it is, and where it may go.

Nothing here talks to a ring or reads a clock: packets, times and random numbers come in as
arguments, verdicts and packets go out. The same files run under CPython and MicroPython.
"""
