"""`./build.py sim --vchan-dir DIR`: the program that ships, with dom0's programs at Unix sockets in a folder.

As Qubes' own daemons do it when they are built with its stand-in for vchan: see tests/README.md. Here they are Python.
"""
import json
import os
import select
import socket
import subprocess
import sys

import pytest
import qrexec_dom0
import qubesdb_dom0

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = {
    "/qubes-ip": b"10.137.0.9", "/qubes-gateway": b"10.137.0.8", "/qubes-netvm-gateway": b"10.137.0.9",
    "/connected-ips": b"10.137.0.5", **qubesdb_dom0.rule_keys("10.137.0.5", [b"action=accept"]),
}


class Dom0:
    """Programs at sockets in a folder, each with feed() and take()."""

    def __init__(self, folder):
        self.folder, self.listeners, self.connecting, self.connected = folder, [], [], []
        environment = dict(os.environ, VCHAN_SOCKET_DIR=folder)
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "foreground.py")], env=environment,
                                        stdout=open(os.path.join(folder, "log"), "w"), stderr=subprocess.STDOUT)

    def log(self):
        with open(os.path.join(self.folder, "log")) as text:
            return text.read()

    def serve(self, port, program):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self.folder, "vchan.0.2.%d.sock" % port))
        listener.listen(1)
        self.listeners.append((listener, program))
        return program

    def join(self, port, program):
        self.connecting.append((os.path.join(self.folder, "vchan.2.0.%d.sock" % port), program))
        return program

    def until(self, condition):
        """However long it takes, as long as the process runs."""
        while not condition():
            assert self.process.poll() is None, self.log()
            for path, program in self.connecting[:]:
                peer = socket.socket(socket.AF_UNIX)
                try:
                    peer.connect(path)
                except (FileNotFoundError, ConnectionRefusedError):
                    peer.close()
                    continue
                self.connecting.remove((path, program))
                self.connected.append((peer, program))
            files = [each for each, _ in self.listeners + self.connected]
            poll = select.poll()  # select() knows no number above 1023, and the tests before may have many files open
            for each in files:
                poll.register(each, select.POLLIN)
            numbers = {number for number, _ in poll.poll(20)}
            ready = [each for each in files if each.fileno() in numbers]
            for listener, program in self.listeners[:]:
                if listener in ready:
                    self.connected.append((listener.accept()[0], program))
                    self.listeners.remove((listener, program))
                    listener.close()
            for peer, program in self.connected[:]:
                if peer in ready:
                    octets = peer.recv(65536)
                    program.feed(octets)  # Left: it would have gone
                    if not octets:
                        self.connected.remove((peer, program))
                        peer.close()
                        continue
                if program.out:
                    peer.sendall(program.take())

    def close(self):
        self.process.terminate()
        self.process.wait()
        for each, _ in self.listeners + self.connected:
            each.close()


@pytest.fixture
def dom0(tmp_path):
    dom0 = Dom0(str(tmp_path))
    yield dom0
    dom0.close()


def test_dom0s_programs_at_sockets(dom0):
    database = dom0.serve(111, qubesdb_dom0.Daemon(KEYS))
    daemon = dom0.join(512, qrexec_dom0.Daemon())
    dom0.until(lambda: database.keys.get("/qubes-iptables-error") == b"" and daemon.agreed)

    dom0.until(lambda: daemon.triggers)  # what it does it tells
    trigger, = daemon.triggers
    assert trigger.service == "qubes.FeaturesRequest" and database.keys["/features-request/qrexec"] == b"1"
    service = dom0.join(daemon.allow(trigger), qrexec_dom0.Service())
    service.exit(0)
    dom0.until(lambda: "dom0 was told what we do, and says 0" in dom0.log())

    calls = []
    for name, code in (("qubes.WaitForSession+", 0), ("firewall.Status+json", 0), ("qubes.VMShell", 127), ("a.B", 127)):
        port = daemon.execute("user:QUBESRPC %s dom0" % name)
        calls.append((dom0.serve(port, qrexec_dom0.Caller()), code))
    dom0.until(lambda: all(call.code is not None for call, _ in calls) and not daemon.ports)
    assert [call.code for call, _ in calls] == [code for _, code in calls]
    assert json.loads(calls[1][0].stdout.splitlines()[0]) == {"format": "firewall.status", "version": 1}

    database.commit("10.137.0.5", [b"action=drop"])
    dom0.until(lambda: len(database.out) == 0)
    assert daemon.stray == []
