"""qubes-firewall-notify: a refused connection becomes a notification, one a qube and minute, for qubes that have it on.

    qubes-firewall-notify on QUBE      turn it on for a qube (a feature), and start the service that listens
    qubes-firewall-notify off QUBE     turn it off
    qubes-firewall-notify              listen, until ended

The firewall changes nothing, and nothing that it says is run. The button `Allow for an hour` makes a command for
qvm-firewall of a checked address, protocol and port, shows it in dom0's own question, and runs it after a yes.
"""

import argparse
import html
import ipaddress
import os
import re
import shutil
import subprocess
import sys
import time

from . import model, session as sessions, streams, top

FEATURE = "firewall-notify"
UNIT = "qubes-firewall-notify.service"
MINUTE = 60  # seconds between two notifications of a qube
ASKED = 30  # seconds for which a feature's value is believed
QUBES = 256  # that are remembered
WAITING = 12  # notifications that wait for a button
HOUR = 3600
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}\Z")
TERMINALS = (("xfce4-terminal", "-x"), ("konsole", "-e"), ("gnome-terminal", "--"), ("xterm", "-e"))
ACTIONS = ("--action=allow=Allow for an hour", "--action=show=Show")


class Note:
    """A notification: of which qube, about which refusal, and how many others it stands for."""

    def __init__(self, qube, row, others):
        self.qube, self.row, self.others = qube, row, others
        self.actions = allow(qube, row) is not None

    def text(self):
        """`work: tcp 140.82.121.4:22 (github.com) refused by rule 3`"""
        more = ", and %d more" % self.others if self.others else ""
        return "%s: %s%s" % (self.qube, model.words(self.row), more)


def allow(qube, row):
    """The command that allows a refused connection for an hour; None if none of Qubes' rules can."""
    try:
        address = ipaddress.ip_address(row["to"])
    except ValueError:
        return None
    if not NAME.match(qube) or row["why"] != model.DENIED[0] or row["proto"] not in ("tcp", "udp", "icmp"):
        return None
    words = ["qvm-firewall", qube, "add", "--before", "0", "action=accept"]
    words += ["dsthost=%s/%d" % (address, address.max_prefixlen), "proto=" + row["proto"]]
    if row["proto"] == "icmp":
        if not 0 <= row["type"] <= 255:
            return None
        words.append("icmptype=%d" % row["type"])
    else:
        words.append("dstports=%d-%d" % (row["to_port"], row["to_port"]))
    return words + ["expire=+%d" % HOUR]


class Notifier:
    """Which refusals become notifications, and when. No clock and no dom0 here: enabled(qube) says if a qube has it
    on."""

    def __init__(self, enabled):
        self.enabled = enabled
        self.held = {}  # qube: [when the last notification was, newest row or None, how many connections since]

    def heard(self, qube, row, now):
        """A refusal that is new. Gives a Note or None."""
        if not qube or not NAME.match(qube) or not self.enabled(qube):
            return None
        state = self.held.get(qube)
        if state is None:
            if len(self.held) >= QUBES:
                return None
            state = self.held[qube] = [None, None, 0]
        state[1], state[2] = row, state[2] + 1
        return self._due(qube, now)

    def notes(self, now):
        """Notes of what was held back, where the minute is over."""
        return [note for note in (self._due(qube, now) for qube in list(self.held)) if note]

    def _due(self, qube, now):
        state = self.held[qube]
        if state[1] is None:
            if state[0] is not None and now - state[0] >= MINUTE:
                del self.held[qube]
            return None
        if state[0] is not None and now - state[0] < MINUTE:
            return None
        note = Note(qube, state[1], state[2] - 1)
        self.held[qube] = [now, None, 0]
        return note


class Desktop:
    """dom0's desktop: notifications, questions, commands; each a program that runs beside us, none waited for."""

    def __init__(self, say):
        self.say, self.running, self.plain = say, [], False  # running: [(process, what to do with its end)]

    def show(self, note):
        """A notification with its buttons."""
        while len(self.running) >= WAITING:
            self._end(self.running.pop(0)[0])
        self.say(note.text())
        words = ["notify-send", "--app-name=Qubes firewall", "--expire-time=30000"]
        body = html.escape(note.text())
        actions = [] if self.plain else list(ACTIONS if note.actions else ACTIONS[1:])
        if self.plain and note.actions:
            body += "\n" + html.escape("To allow it for an hour: " + " ".join(allow(note.qube, note.row)))
        self._start(
            words + actions + ["--", "Refused by the firewall", body],
            lambda code, said: self._pressed(note, actions, code, said),
        )

    def _pressed(self, note, actions, code, said):
        if code and actions and not said:
            self.plain = True  # a notify-send without buttons, as in Qubes 4.1
            self.show(note)
        elif said == "allow" and note.actions:
            self._ask(note)
        elif said == "show":
            self._top(note.qube)

    def _ask(self, note):
        """dom0's own question, with the very command."""
        command = allow(note.qube, note.row)
        text = "Allow %s to reach %s for an hour?\n\nThis runs in dom0:\n%s" % (
            note.qube,
            _reached(note.row),
            " ".join(command),
        )
        question = _question(text)
        if question is None:
            self.say("no program here can ask; to allow it: " + " ".join(command))
            return
        self._start(question, lambda code, said: self._answered(command, code))

    def _answered(self, command, code):
        if code == 0:
            self.say("running: " + " ".join(command))
            self._start(command, lambda code, said: self._ran(command, code))

    def _ran(self, command, code):
        if code:
            self.say("failed with %d: %s" % (code, " ".join(command)))
            self._start(
                ["notify-send", "--", "Not allowed", html.escape("This failed: " + " ".join(command))],
                lambda code, said: None,
            )

    def _top(self, qube):
        program = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "qubes-firewall-top")
        for terminal, option in TERMINALS:
            if shutil.which(terminal):
                self._start([terminal, option, program, "--refused", qube], lambda code, said: None)
                return
        self.say("no terminal is here: qubes-firewall-top --refused " + qube)

    def _start(self, words, then):
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            self.say("%s: %s" % (words[0], error.strerror))
            return
        self.running.append((process, then))

    def step(self):
        """See which have ended, and go on with them."""
        for pair in list(self.running):
            process, then = pair
            if process.poll() is not None:
                self.running.remove(pair)
                said = process.stdout.read(64).decode("ascii", "replace").strip()
                process.stdout.close()
                then(process.returncode, said)

    def close(self):
        for process, _ in self.running:
            self._end(process)
        self.running = []

    @staticmethod
    def _end(process):
        process.terminate()
        process.wait()
        process.stdout.close()


def _reached(row):
    port = " port %d" % row["to_port"] if row["to_port"] else " type %d" % row["type"] if row["proto"] == "icmp" else ""
    name = " (it asked for %s)" % row["name"] if row["name"] else ""
    return "%s %s%s%s" % (row["proto"], row["to"], port, name)


def _question(text):
    """Words of a program that asks and ends with 0 for yes; None if none is here."""
    title = "Qubes firewall"
    if shutil.which("zenity"):
        return [
            "zenity",
            "--question",
            "--no-markup",
            "--default-cancel",
            "--title=" + title,
            "--ok-label=Allow for an hour",
            "--cancel-label=No",
            "--width=520",
            "--text=" + text,
        ]
    if shutil.which("kdialog"):
        return ["kdialog", "--title", title, "--warningyesno", html.escape(text).replace("\n", "<br>")]
    if shutil.which("xmessage"):
        return ["xmessage", "-center", "-buttons", "No:1,Allow for an hour:0", "-default", "No", text]
    return None


class Features:
    """Whether a qube has it on, by qvm-features; believed for a while."""

    def __init__(self, clock=time.monotonic):
        self.clock, self._known = clock, {}

    def enabled(self, qube):
        known = self._known.get(qube)
        if known is None or self.clock() - known[0] >= ASKED:
            if len(self._known) >= QUBES:
                self._known.clear()
            known = self._known[qube] = (self.clock(), _feature(qube))
        return known[1]


def _feature(qube):
    try:
        done = subprocess.run(
            ["qvm-features", qube, FEATURE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() != b""


def listen(source, say):
    """Listen until ended; with recorded answers until all is said and done."""
    desktop = Desktop(say)
    notifier = Notifier(Features().enabled)

    def heard(firewall, row):
        note = notifier.heard(session.world.names.name(firewall.name, row["client"]), row, time.monotonic())
        if note:
            desktop.show(note)

    session = sessions.Session(source, (), ("firewall.Refused",), heard)
    try:
        while True:
            came = session.step(time.monotonic())
            for note in notifier.notes(time.monotonic()):
                desktop.show(note)
            desktop.step()
            if source.recorded and session.idle() and not desktop.running:
                return 0
            time.sleep(0.05 if desktop.running or came else 0.5)
    finally:
        session.close()
        desktop.close()


def switch(on, qube):
    """Turn it on or off for a qube. Exit status of qvm-features."""
    words = ["qvm-features", qube, FEATURE, "1"] if on else ["qvm-features", "--unset", qube, FEATURE]
    code = subprocess.run(words, stdin=subprocess.DEVNULL).returncode
    if code == 0 and on:
        started = subprocess.run(["systemctl", "--user", "enable", "--now", UNIT], stdin=subprocess.DEVNULL).returncode
        if started:
            sys.stderr.write("the service %s does not run: start qubes-firewall-notify by hand\n" % UNIT)
        else:
            print("%s: refused connections are told from now on; off: qubes-firewall-notify off %s" % (qube, qube))
    return code


def main(words=None):
    made = argparse.ArgumentParser(
        prog="qubes-firewall-notify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("what", nargs="?", choices=["on", "off"])
    made.add_argument("qube", nargs="?", metavar="QUBE")
    top.source(made)
    options = made.parse_args(words)
    if options.what:
        if not options.qube or not NAME.match(options.qube):
            made.error("%s needs the name of a qube" % options.what)
        try:
            return switch(options.what == "on", options.qube)
        except OSError as error:
            sys.stderr.write("qubes-firewall-notify: %s: this program runs in dom0\n" % error)
            return 2
    try:
        return listen(top.source_of(options), lambda text: print(streams.clean(text, streams.WIDE), flush=True))
    except KeyboardInterrupt:
        return 0
