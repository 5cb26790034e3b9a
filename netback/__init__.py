"""The clients' side: a Xen network backend for every vif that dom0 gives us.

link.py moves frames through one connected client's rings, intake.py those that it sends; states.py decides what a
change of state means; vif.py lives one device's life in xenstore; watch.py finds the devices.
"""
