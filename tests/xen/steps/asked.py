"""Requests to qrexec_service.py, which plays qrexec for a domain in this dom0."""
import json
import os
import socket
import time

STDOUT = "/run/qrexec.call.%d"  # see qrexec_service.py
ENDING = 4  # so many of row()'s services, the first ones, end by themselves


def ask(domid, *request):
    """Its answer to one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/run/qrexec.%d.sock" % domid)
        with connection.makefile("rw") as file:
            file.write(json.dumps(request) + "\n")
            file.flush()
            return json.loads(file.readline())


def row(domid, services, count, seconds=60):
    """Calls one after another, of these services in turn; one that does not end by itself vanishes when it has spoken.

    What Status said of the heap, in order.
    """
    told = []
    for n in range(count):
        number = ask(domid, "call", services[n % len(services)], "")
        end = time.monotonic() + seconds
        found = ask(domid, "look", number)
        while not found["gone"] and (n % len(services) < ENDING or not found["octets"]):
            if time.monotonic() > end:
                raise TimeoutError("call %d, %s: %s" % (n, services[n % len(services)], found))
            time.sleep(0.005)
            found = ask(domid, "look", number)
        if n % len(services) >= ENDING:
            ask(domid, "end", number)
        elif found["code"] != 0:
            raise ValueError("%s: %s" % (services[n % len(services)], found))
        elif services[n % len(services)] == "firewall.Status+json":
            with open(STDOUT % number, "rb") as text:
                told.append(json.loads(text.readlines()[1])["memory"])
        os.unlink(STDOUT % number)
    return told


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
