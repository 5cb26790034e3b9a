"""Typing on a domain's console, through the terminal that xenconsoled opened for it."""
import os


def type_line(domid, text):
    """Write a line to the console's input."""
    import pyxs

    with pyxs.Client() as store:
        terminal = store.read(b"/local/domain/%d/console/tty" % domid).decode()
    port = os.open(terminal, os.O_WRONLY | os.O_NOCTTY)
    os.write(port, text.encode() + b"\n")
    os.close(port)
