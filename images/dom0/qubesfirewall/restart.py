"""qubes-firewall-restart QUBE: starts a firewall qube again when it ended by itself. Runs in dom0, as a service.

dom0 leaves a qube that has crashed stopped, and its clients without a network. This program listens to qubesd: a qube
that ends without having been asked to (qvm-shutdown, dom0's own shutdown) is started again, at most TRIES times in
WINDOW seconds; then it gives up, says so, and ends with 3. qubesd attaches the clients that run to the new one. Each
step is a line of the journal.

`qvm-kill` asks nobody, and so looks like a crash: stop the service first, or use qvm-shutdown.
"""

import argparse
import re
import socket
import subprocess
import time

from . import streams

SOCKET = "/run/qubesd.sock"
TRIES, WINDOW = 3, 600  # starts, seconds
ASKED = 180  # seconds for which a request to shut down explains an end
PAUSE = 3  # seconds before a start, for qubesd to detach the clients
AGAIN = 5  # seconds before qubesd is asked anew
LARGEST = 65536  # octets of an event
GIVEN_UP = 3
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}\Z")


class Watch:
    """What to do about what happens to one qube. The time is an argument, in seconds."""

    def __init__(self, qube):
        self.qube, self.asked, self.starts = qube, None, []

    def event(self, subject, event, now):
        """ "start", "give up", or "" for nothing."""
        if subject != self.qube:
            return ""
        if event == "domain-pre-shutdown":
            self.asked = now
        elif event == "domain-start":
            self.asked = None
        elif event == "domain-shutdown":
            wanted, self.asked = self.asked is not None and now - self.asked < ASKED, None
            return "" if wanted else self.again(now)
        return ""

    def again(self, now):
        """It is to be started: whether it may."""
        self.starts = [each for each in self.starts if now - each < WINDOW]
        if len(self.starts) >= TRIES:
            return "give up"
        self.starts.append(now)
        return "start"


class Events:
    """qubesd's events (admin.Events), one after the other. ConnectionError when it goes away."""

    def __init__(self, path, qube):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.sendall(b"admin.Events+ dom0 name %s\0" % qube.encode("ascii"))
        self.socket.shutdown(socket.SHUT_WR)
        self._rest = b""

    def next(self):
        """(subject, event) of the next one."""
        if self._word() != b"1":
            raise ConnectionError("qubesd refuses to tell events")
        subject, event = self._word(), self._word()
        while self._word():
            self._word()
        return subject.decode("ascii", "replace"), event.decode("ascii", "replace")

    def _word(self):
        while b"\0" not in self._rest:
            octets = self.socket.recv(4096)
            if not octets or len(self._rest) > LARGEST:
                raise ConnectionError("qubesd has ended")
            self._rest += octets
        word, self._rest = self._rest.split(b"\0", 1)
        return word

    def close(self):
        self.socket.close()


def start(qube, say, sleep=time.sleep):
    """Start the qube; False if that failed."""
    sleep(PAUSE)
    words = ["qvm-start", "--skip-if-running", "--", qube]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        say("qvm-start: %s" % error.strerror)
        return False
    if done.returncode:
        say(
            "qvm-start failed with %d: %s"
            % (done.returncode, streams.clean(done.stdout.decode("ascii", "replace").strip()[-300:], 300))
        )
    return done.returncode == 0


def act(watch, what, say, clock=time.monotonic, sleep=time.sleep):
    """Start it until it runs, or give up. False when given up."""
    while what == "start":
        say(
            "%s ended without being asked to: starting it again (%d of %d in %d s)"
            % (watch.qube, len(watch.starts), TRIES, WINDOW)
        )
        if start(watch.qube, say, sleep):
            say("%s runs again" % watch.qube)
            return True
        what = watch.again(clock())
    if what == "give up":
        say(
            "%s has ended %d times in %d s: given up. Its last words are in /var/log/xen/console/guest-%s.log; "
            "start it by hand, then this service" % (watch.qube, TRIES + 1, WINDOW, watch.qube)
        )
        return False
    return True


def run(qube, path, say, sleep=time.sleep):
    """Watch until given up; the exit status."""
    watch = Watch(qube)
    while True:
        try:
            events = Events(path, qube)
            say("watching %s" % qube)
            try:
                while True:
                    subject, event = events.next()
                    if not act(watch, watch.event(subject, event, time.monotonic()), say, sleep=sleep):
                        return GIVEN_UP
            finally:
                events.close()
        except OSError as error:
            say("qubesd: %s; asking again in %d s" % (error, AGAIN))
            sleep(AGAIN)


def main(words=None):
    made = argparse.ArgumentParser(
        prog="qubes-firewall-restart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("qube", metavar="QUBE")
    made.add_argument("--socket", default=SOCKET, metavar="PATH", help="of qubesd (%s)" % SOCKET)
    options = made.parse_args(words)
    if not NAME.match(options.qube):
        made.error("QUBE: expected a qube's name")
    try:
        return run(options.qube, options.socket, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        return 0
