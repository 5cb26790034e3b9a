"""qubes-firewall-restart: when it starts a qube again, against a socket that stands in for qubesd."""

import os
import re
import socket
import subprocess
import sys
import threading

import pytest

from tests.dom0 import screens
from qubesfirewall import restart  # noqa: E402

DOM0 = os.path.join(screens.HERE, "..", "..", "images", "dom0")


def test_a_qube_that_was_asked_to_end_stays_down():
    watch = restart.Watch("fw")
    assert [
        watch.event("fw", event, now)
        for now, event in enumerate(["domain-start", "domain-pre-shutdown", "domain-shutdown"])
    ] == [""] * 3
    assert watch.event("fw", "domain-shutdown", 10) == "start"  # it was asked once, and this is another end


def test_a_crash_is_started_again_but_not_for_ever():
    watch = restart.Watch("fw")
    assert [watch.event("fw", "domain-shutdown", now) for now in (0, 100, 200, 599)] == ["start"] * 3 + ["give up"]
    assert watch.event("fw", "domain-shutdown", 601) == "start"  # the first one is ten minutes ago


def test_an_old_request_explains_nothing():
    watch = restart.Watch("fw")
    watch.event("fw", "domain-pre-shutdown", 0)
    assert watch.event("fw", "domain-shutdown", restart.ASKED) == "start"


def test_other_qubes_are_none_of_its_business():
    watch = restart.Watch("fw")
    assert watch.event("work", "domain-shutdown", 0) == "" and watch.event("", "domain-shutdown", 0) == ""


def event(subject, name, **more):
    words = ["1", subject, name] + [word for pair in more.items() for word in pair] + ["", ""]
    return "\0".join(words).encode()


@pytest.fixture
def qubesd(tmp_path):
    """Serve connections, one after the other, with these octets; what was asked. The last one stays open."""
    path, asked = str(tmp_path / "qubesd.sock"), []

    def serve(answers):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(5)

        def run():
            for answer in answers:
                there, _ = listening.accept()
                asked.append(there.recv(1000))
                for i in range(0, len(answer), 7):
                    try:
                        there.sendall(answer[i : i + 7])
                    except BrokenPipeError:
                        break  # it had enough
                if answer is not answers[-1]:
                    there.close()
            kept.append(there)

        kept = [listening]
        threading.Thread(target=run, daemon=True).start()
        return kept

    return path, asked, serve


def test_the_program_starts_a_crashed_qube_three_times_and_gives_up(tmp_path, qubesd, monkeypatch):
    path, asked, serve = qubesd
    started = tmp_path / "started"
    (tmp_path / "qvm-start").write_text('#!/bin/sh\necho "$@" >> %s\n' % started)
    (tmp_path / "qvm-start").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + ":" + os.environ["PATH"])
    said = []
    crash = event("fw", "domain-shutdown") + event("fw", "domain-start", start_guid="True")
    asked_to = event("fw", "domain-pre-shutdown", force="False") + event("fw", "domain-shutdown")
    kept = serve([event("", "connection-established") + asked_to + crash, crash * 3])
    assert restart.run("fw", path, said.append, sleep=lambda seconds: None) == restart.GIVEN_UP
    assert started.read_text() == "--skip-if-running -- fw\n" * 3
    assert asked == [b"admin.Events+ dom0 name fw\0"] * 2
    assert said[0] == "watching fw" and "given up" in said[-1] and "guest-fw.log" in said[-1]
    assert [line for line in said if "asking again" in line] == ["qubesd: qubesd has ended; asking again in 5 s"]
    del kept


def test_a_start_that_fails_counts(tmp_path, monkeypatch):
    (tmp_path / "qvm-start").write_text("#!/bin/sh\nprintf 'no \\033[2Jmemory'; exit 1\n")
    (tmp_path / "qvm-start").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + ":" + os.environ["PATH"])
    watch, said = restart.Watch("fw"), []
    assert not restart.act(
        watch, watch.event("fw", "domain-shutdown", 0), said.append, clock=lambda: 1, sleep=lambda seconds: None
    )
    assert len([line for line in said if "failed with 1: no ?[2Jmemory" in line]) == 3 and "given up" in said[-1]


def test_an_event_without_an_end_fills_no_memory(qubesd):
    path, _, serve = qubesd
    kept = serve([b"x" * (1 << 18), b""])
    events = restart.Events(path, "fw")
    with pytest.raises(ConnectionError):
        events.next()
    assert len(events._rest) < restart.LARGEST + 8192
    events.close()
    del kept


def test_the_program_says_what_it_wants():
    done = subprocess.run(
        [sys.executable, DOM0 + "/qubes-firewall-restart", "--", "-x"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 2 and "a qube's name" in done.stderr


def test_the_unit_is_bounded_and_starts_what_is_there():
    with open(DOM0 + "/qubes-firewall-restart@.service") as file:
        unit = file.read()
    (command,) = re.findall(r"^ExecStart=/usr/local/bin/(\S+) %i$", unit, re.MULTILINE)
    assert os.access(os.path.join(DOM0, command), os.X_OK)
    assert "RestartPreventExitStatus=%d" % restart.GIVEN_UP in unit and "Restart=on-failure" in unit
