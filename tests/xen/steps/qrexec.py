"""Requests to qrexec_daemon.py, which serves a domain in this dom0."""
import json
import socket


def ask(domid, *request):
    """Its answer to one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/run/qrexec.%d.sock" % domid)
        with connection.makefile("rw") as file:
            file.write(json.dumps(request) + "\n")
            file.flush()
            return json.loads(file.readline())
