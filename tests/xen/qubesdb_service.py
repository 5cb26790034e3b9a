"""QubesDB for one domain, as a program in the lab's dom0: python3 qubesdb_service.py DOMID KEYS.json

The rules are those of qubesdb_dom0.py, the channel is one of vchans.py. It is to be started when the domain
exists (paused, as Qubes does), for a right in xenstore given before that is void.

On the socket SOCKET % DOMID it takes one request a connection, a line of JSON, and answers with another:
    ["write", path, text], ["remove", path], ["commit", address, [rule, ...]], ["state"], ["drop"]
"drop" closes the channel and offers a new one, as after a restart of the daemon.
"""
import json
import select
import sys
import time

from qubesdb_dom0 import Daemon, Left
from vchans import Requests, Server, move

SOCKET = "/run/qubesdb.%d.sock"
PORT = 111
RING = 4096


class Service:
    def __init__(self, domid, keys):
        self.domid = domid
        self.daemon = Daemon(keys)
        self.left = []  # why the real daemon would have gone, each time
        self.channel = Server(domid, PORT, RING)
        self.requests = Requests(SOCKET % domid)
        print("serving domain %d" % domid, flush=True)

    def run(self):
        while True:
            ready, _, _ = select.select([self.channel.file, self.requests.listener], [], [])
            if self.channel.file in ready:
                self.channel.wait()
            if self.requests.listener in ready:
                self.requests.answer(self)
            self._move()

    def _move(self):
        if self.channel.came():
            self.daemon.connected()
        if self.channel.awaited:
            return
        try:
            moved = 1
            while moved:
                moved = move(self.channel, self.daemon)
        except Left as why:
            self.left.append(str(why))
            moved = None
        if moved is None:
            self._renew()

    def _renew(self):
        self.channel.close()
        self.daemon.connected()
        self.channel = Server(self.domid, PORT, RING)

    def do_write(self, path, text):
        self.daemon.write(path, text.encode())

    def do_remove(self, path):
        self.daemon.remove(path)

    def do_commit(self, address, rules):
        """When it was given to the channel, in s of the monotonic clock."""
        self.daemon.commit(address, [rule.encode() for rule in rules])
        return time.monotonic()

    def do_state(self):
        """What the VM has asked for and written, and why the real daemon would have left it."""
        return {"asked": self.daemon.asked, "handled": self.daemon.handled, "left": self.left,
                "keys": {key: value.decode("latin-1") for key, value in self.daemon.keys.items()}}

    def do_drop(self):
        self._renew()


if __name__ == "__main__":
    with open(sys.argv[2]) as text:
        Service(int(sys.argv[1]), {key: value.encode() for key, value in json.load(text).items()}).run()
