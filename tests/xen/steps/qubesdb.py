"""Requests to qubesdb_service.py, which serves a domain in this dom0."""
import json
import socket
import time


def ask(domid, *request):
    """Its answer to one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/run/qubesdb.%d.sock" % domid)
        with connection.makefile("rw") as file:
            file.write(json.dumps(request) + "\n")
            file.flush()
            return json.loads(file.readline())


def commit_and_wait(domid, address, rules, seconds):
    """Seconds from a commit until the domain has written its handled counter; None after so many seconds."""
    before = ask(domid, "state")["handled"].get(address, 0)
    began = ask(domid, "commit", address, rules)
    while time.monotonic() < began + seconds:
        if ask(domid, "state")["handled"].get(address, 0) > before:
            return time.monotonic() - began
        time.sleep(0.001)
    return None
