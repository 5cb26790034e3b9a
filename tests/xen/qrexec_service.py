"""dom0's qrexec for one domain, as a program in the lab's dom0: python3 qrexec_service.py DOMID

The daemon and the callers are those of qrexec_dom0.py, the channels are those of vchans.py.

On the socket SOCKET % DOMID it takes one request a connection, a line of JSON, and answers with another:
    ["call", service, stdin]   of dom0; stdin None stays open. Its number; what it says on stdout is in STDOUT % number
    ["look", number]           {"octets": on stdout so far, "stderr", "code": or None, "gone"}
    ["hold", number, whether]  it reads no more, or does again
    ["end", number]            the caller ends
    ["state"]                  {"agreed": version of the control channel, "left": [...], "ports": in use,
                                "most": channels to callers at once so far}

Source: Qubes core-qrexec.
"""
import select
import sys

from qrexec_dom0 import STDOUT as STDOUT_KIND, Caller, Daemon, Left
from vchans import Client, Requests, Server, move

SOCKET = "/run/qrexec.%d.sock"
STDOUT = "/run/qrexec.call.%d"
PORT = 512
RING = 65536
TICK = 0.02  # s; events of the library's file are not needed for it to be right


class Call:
    def __init__(self, domid, port, number):
        self.caller = Caller()
        self.channel = Server(domid, port, RING)
        self.out = open(STDOUT % number, "wb", buffering=0)
        self.written = 0
        self.held = self.gone = False

    def serve(self):
        """True if there was anything. Left: the real client would have gone."""
        if self.gone or self.held:
            return False
        self.channel.came()
        if self.channel.awaited:
            return False
        did = move(self.channel, self.caller)
        self.written += self.out.write(self.caller.stdout)
        self.caller.got[STDOUT_KIND] = b""
        if did is None:
            self.end()
        return bool(did)

    def end(self):
        if not self.gone:
            self.gone = True
            self.channel.close()
            self.out.close()

    def told(self):
        return {"octets": self.written, "stderr": self.caller.stderr, "code": self.caller.code, "gone": self.gone}


class Service:
    def __init__(self, domid):
        self.domid, self.daemon, self.control = domid, Daemon(), None
        self.left, self.calls = [], {}  # calls by number, the living; what is left of the others is in self.ended
        self.ended, self.most = {}, 0
        self.requests = Requests(SOCKET % domid)
        print("serving domain %d" % domid, flush=True)

    def run(self):
        while True:
            files = [call.channel.file for call in self.calls.values() if not call.held]
            files += [self.control.file] if self.control else []
            ready, _, _ = select.select(files + [self.requests.listener], [], [], TICK)
            for channel in [call.channel for call in self.calls.values()] + [self.control]:
                if channel and channel.file in ready:
                    channel.wait()
            if self.requests.listener in ready:
                self.requests.answer(self)
            self._serve()

    def _serve(self):
        try:
            self._talk()
            did = True
            while did:
                did = any([call.serve() for call in self.calls.values()])
                open_now = [call for call in self.calls.values() if not call.gone and not call.channel.awaited]
                self.most = max(self.most, len(open_now))
        except Left as why:
            self.left.append(str(why))
        self._bury()

    def _talk(self):
        if self.control is None:
            try:
                self.control = Client(self.domid, PORT)
            except OSError:
                return
            self.daemon.connected()
        moved = 1
        while moved:
            moved = move(self.control, self.daemon)
        for trigger in self.daemon.triggers:
            self.daemon.refuse(trigger)
        self.daemon.triggers.clear()
        if moved is None:
            self.control.close()
            self.control = None

    def _bury(self):
        """A thousand that have ended cost no time."""
        for number in [number for number, call in self.calls.items() if call.gone]:
            self.ended[number] = self.calls.pop(number).told()

    def do_call(self, service, stdin):
        port = self.daemon.execute("user:QUBESRPC %s dom0" % service)
        number = len(self.calls) + len(self.ended)
        call = self.calls[number] = Call(self.domid, port, number)
        if stdin is not None:
            call.caller.write(stdin.encode())
            call.caller.close_stdin()
        return number

    def do_look(self, number):
        return self.ended.get(number) or self.calls[number].told()

    def do_hold(self, number, whether):
        if number in self.calls:
            self.calls[number].held = whether

    def do_end(self, number):
        if number in self.calls:
            self.calls[number].end()
            self._bury()

    def do_state(self):
        return {"agreed": self.daemon.agreed, "left": self.left, "ports": len(self.daemon.ports), "most": self.most}


if __name__ == "__main__":
    Service(int(sys.argv[1])).run()
