"""Requests to qrexec_service.py, which plays qrexec for a domain in this dom0."""
import json
import socket
import time


def ask(domid, *request):
    """Its answer to one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/run/qrexec.%d.sock" % domid)
        with connection.makefile("rw") as file:
            file.write(json.dumps(request) + "\n")
            file.flush()
            return json.loads(file.readline())


def done(domid, service, stdin="", seconds=30):
    """A call that ends by itself: its number, and what it is then; None if that is not so in so many seconds."""
    number = ask(domid, "call", service, stdin)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ask(domid, "look", number)
        if found["gone"]:
            return number, found
        time.sleep(0.02)
    return number, None
