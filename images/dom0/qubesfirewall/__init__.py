"""dom0's side of the firewall qube: what reads its services and shows them to a person.

Python 3.8 or newer, standard library alone: dom0 has no package index. What a qube says is never trusted here: it is
read by streams.py, which gives checked rows and plain text, or nothing.
"""
