"""qrexec of dom0 for one domain, as a program in the lab's dom0: python3 qrexec_daemon.py DOMID VERSION

The rules are those of qrexec_dom0.py, the channels are those of vchans.py. On the socket SOCKET % DOMID it takes one
request a connection, a line of JSON, and answers with another; calls have numbers:
    ["execute", command, stdin, just], ["crowd", commands, more],
    ["answer", service, stdout, code], ["state"], ["drop"]
"crowd" begins calls whose stdin ends only when all of `commands` are connected; then "crowded" of the state says how
many of `more` were. "drop" ends the daemon and starts another.
"""
import select
import sys

from qrexec_dom0 import Caller, Daemon, Left, Service as Served
from vchans import Client, Requests, Server, move

SOCKET = "/run/qrexec.%d.sock"
PORT = 512
RING = 65536
LOOK = 0.1  # s between two looks for the domain's server


class Service:
    def __init__(self, domid, version):
        self.domid, self.version = domid, version
        self.daemon = Daemon(version)
        self.control = None
        self.left = []  # why a real program would have gone, each time
        self.calls = {}  # number of each -> [Caller, its Server or None when that is gone]
        self.joining, self.served = [], []  # [(port, Served)], [[Served, Client or None]]
        self.answers = {}  # service -> (stdout, code)
        self.crowd = self.crowded = None
        self.requests = Requests(SOCKET % domid)
        print("serving domain %d" % domid, flush=True)

    def run(self):
        while True:
            ends = [pair[1] for pair in list(self.calls.values()) + self.served if pair[1]]
            ends += [self.control] if self.control else []
            files = [self.requests.listener] + [end.file for end in ends]
            ready = select.select(files, [], [], LOOK if self.joining or not self.control else None)[0]
            for end in ends:
                if end.file in ready:
                    end.wait()
            if self.requests.listener in ready:
                self.requests.answer(self)
            self._join()
            while any([self._control()] + [self._data(pair) for pair in list(self.calls.values()) + self.served]):
                self._look_at_crowd()

    def _join(self):
        if not self.control:
            try:
                self.control = Client(self.domid, PORT)
                self.daemon.connected()
            except OSError:
                pass
        for port, program in self.joining[:]:
            try:
                self.served.append([program, Client(self.domid, port)])
                self.joining.remove((port, program))
            except OSError:
                pass

    def _control(self):
        if not self.control:
            return False
        moved = self._move(self.control, self.daemon)
        for trigger in self.daemon.triggers:
            if trigger.service in self.answers:
                program = Served()
                stdout, code = self.answers[trigger.service]
                program.write(stdout.encode())
                program.exit(code)
                self.joining.append((self.daemon.allow(trigger), program))
            else:
                self.daemon.refuse(trigger)
        self.daemon.triggers.clear()
        if moved is None:
            self.control.close()
            self.control = None
        return moved

    def _data(self, pair):
        program, end = pair
        if end is None:
            return False
        end.awaited and end.came()
        if end.awaited:
            return False
        moved = self._move(end, program)
        if moved is None:
            end.close()
            pair[1] = None
        return moved

    def _move(self, end, program):
        """See vchans.move(); None, too, when the program would have gone."""
        try:
            return move(end, program)
        except Left as why:
            self.left.append(str(why))
            return None

    def _look_at_crowd(self):
        """Let them all go on when those of the first part are connected."""
        if self.crowd and all(self._came(number) for number in self.crowd[0]):
            first, more = self.crowd
            self.crowd, self.crowded = None, sum(self._came(number) for number in more)
            for number in first + more:
                self.calls[number][0].write(b"%d" % number)
                self.calls[number][0].close_stdin()

    def _came(self, number):
        end = self.calls[number][1]
        return end is None or not end.awaited

    def do_execute(self, command, stdin, just=False):
        port = self.daemon.execute(command, just=just)
        caller = Caller(self.version)
        if stdin is not None:
            caller.write(stdin.encode())
            caller.close_stdin()
        number = len(self.calls)
        self.calls[number] = [caller, Server(self.domid, port, RING)]
        return number

    def do_crowd(self, commands, more):
        self.crowd = [[self.do_execute(command, None) for command in part] for part in (commands, more)]
        return self.crowd

    def do_answer(self, service, stdout, code):
        self.answers[service] = stdout, code

    def do_state(self):
        calls = {number: {"code": caller.code, "stdout": caller.stdout.decode("latin-1"), "stderr": caller.stderr,
                          "gone": end is None}
                 for number, (caller, end) in self.calls.items()}
        return {"agreed": self.daemon.agreed, "left": self.left, "stray": self.daemon.stray, "calls": calls,
                "crowded": self.crowded, "ports": sorted(self.daemon.ports), "terminated": len(self.daemon.terminated)}

    def do_drop(self):
        if self.control:
            self.control.close()
        self.control = None
        self.daemon = Daemon(self.version)


if __name__ == "__main__":
    Service(int(sys.argv[1]), int(sys.argv[2])).run()
