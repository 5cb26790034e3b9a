"""vchan over Unix sockets: the frozen code as a process of its own, Qubes' convention at the other end."""
import os
import socket
import subprocess
import threading
import time

import pytest
from qubesdb_dom0 import Daemon, Left

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("FIREWALL_SIM") or os.path.join(CHECKOUT, "build", "firewall-sim")
HEAD = """
import asyncio, loop, supervisor
from vchan import transport
from vchan.channel import Closed

class Store:  # sockets need nothing of xenstore but this
    async def read(self, path):
        return b"1"

    async def watch(self, path):
        return self

    async def changes(self):
        await loop.Flag().wait()

store = Store()
"""


class Script:
    """A script under the interpreter, on a machine of its own in real time."""

    def __init__(self, folder, text):
        path = os.path.join(folder, "script.py")
        with open(path, "w") as file:
            file.write(HEAD + text)
        environment = dict(os.environ, VCHAN_SOCKET_DIR=folder)
        self.process = subprocess.Popen([PROGRAM, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)

    def line(self):
        """Its next line of output that is no log line."""
        while True:
            text = self.process.stdout.readline().decode()
            assert text, "it has ended"
            if not text[:4].isdigit():
                return text.strip()

    def lines_until(self, last):
        lines = [self.line()]
        while lines[-1] != last:
            lines.append(self.line())
        return lines


@pytest.fixture
def script(tmp_path):
    scripts = []

    def start(text):
        scripts.append(Script(str(tmp_path), text))
        return scripts[-1]

    yield start
    for one in scripts:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


def listen(folder, name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(str(folder), name))
    listener.listen(1)
    return listener


def connect(folder, name, script):
    """To a script that will listen some day; AssertionError if it ends before."""
    peer = socket.socket(socket.AF_UNIX)
    while True:
        try:
            peer.connect(os.path.join(str(folder), name))
            return peer
        except (FileNotFoundError, ConnectionRefusedError):
            assert script.process.poll() is None, "nobody listens: it has ended"
            time.sleep(0.01)


class Served:
    """A daemon at the other end of the next connection, in a thread of its own."""

    def __init__(self, listener, daemon):
        self.daemon, self.lock, self.failure = daemon, threading.Lock(), None
        self.peer = listener.accept()[0]
        daemon.connected()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def do(self, act):
        with self.lock:
            act()
            self.peer.sendall(self.daemon.take())

    def _run(self):
        try:
            while True:
                octets = self.peer.recv(65536)
                if not octets:
                    return
                with self.lock:
                    self.daemon.feed(octets)
                    self.peer.sendall(self.daemon.take())
        except Left as why:
            self.failure = why
        except BrokenPipeError:
            pass  # closed by the test while we were answering

    def close(self):
        self.peer.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.peer.close()


def test_our_client_finds_a_server_and_streams(tmp_path, script):
    one = script("""
async def main():
    channel = await transport.connect(store, 0, 600)
    print("connected")
    await channel.write(await channel.read(200000))
    try:
        await channel.read(1)
    except Closed:
        print("closed")
    channel.close()

supervisor.spawn("main", main, supervisor.LINK)
loop.run()
""")
    listener = listen(tmp_path, "vchan.0.1.600.sock")
    peer = listener.accept()[0]
    assert one.line() == "connected"
    sent = bytes(range(256)) * 782
    peer.sendall(sent[:200000])
    got = b""
    while len(got) < 200000:
        got += peer.recv(65536)
    assert got == sent[:200000]
    peer.close()
    assert one.line() == "closed"


def test_our_server_serves_one_client_after_the_other(tmp_path, script):
    one = script("""
async def main():
    while True:
        channel = await transport.accept(store, 0, 512, 4096, 4096)
        print("client")
        try:
            while True:
                await channel.write_packet(await channel.read(5))
        except Closed:
            print("gone")
        channel.close()

supervisor.spawn("main", main, supervisor.LINK)
loop.run()
""")
    for _ in range(3):
        peer = connect(tmp_path, "vchan.1.0.512.sock", one)
        assert one.line() == "client"
        peer.sendall(b"hello")
        assert peer.recv(5) == b"hello"
        peer.close()
        assert one.line() == "gone"


def test_settings_from_a_daemon_that_goes_and_comes_again(tmp_path, script):
    one = script("""
import try_settings
supervisor.spawn("main", lambda: try_settings.main(store, {"attach": "10.137.0.5"}), supervisor.FATAL)
loop.run()
""")
    keys = {"/qubes-ip": b"10.137.0.9", "/qubes-gateway": b"10.137.0.8", "/qubes-netvm-gateway": b"10.137.0.9",
            "/connected-ips": b"10.137.0.5 10.137.0.6", "/qubes-random-seed": b"c2VlZA==",
            "/qubes-firewall/10.137.0.5": b"", "/qubes-firewall/10.137.0.5/policy": b"drop",
            "/qubes-firewall/10.137.0.5/0000": b"action=accept"}
    daemon = Daemon(keys)
    listener = listen(tmp_path, "vchan.0.1.111.sock")
    peer = Served(listener, daemon)
    lines = one.lines_until("rules 10.137.0.5 accept")
    assert "network 10.137.0.9 10.137.0.8 10.137.0.9" in lines and "connected 10.137.0.5 10.137.0.6" in lines
    peer.do(lambda: daemon.commit("10.137.0.5", [b"action=drop"]))
    one.lines_until("rules 10.137.0.5 drop")
    peer.close()
    daemon.keys["/qubes-ip"] = b"10.137.0.10"
    peer = Served(listener, daemon)
    lines = one.lines_until("network 10.137.0.10 10.137.0.8 10.137.0.9")
    assert not [line for line in lines if line.startswith("rules")]  # what has not changed stays as it is
    peer.do(lambda: daemon.commit("10.137.0.5", [b"action=accept"]))
    one.lines_until("rules 10.137.0.5 accept")
    peer.close()
    assert not peer.failure
    listener.close()
