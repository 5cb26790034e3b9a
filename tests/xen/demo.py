"""`./build.py demo`: the image on a real Xen, shown from its first line to its last."""
import sys
import threading
import time

from rich.console import Console
from rich.table import Table

from .channel import LabError
from .lab import CONSOLES, Lab

IMAGE = "/src/build/vmlinuz"
_console = Console(highlight=False)


class _Follower(threading.Thread):
    """Prints a domain's console as it grows."""

    def __init__(self, lab, path):
        super().__init__(daemon=True)
        self.lab, self.path, self.over = lab, path, threading.Event()

    def run(self):
        seen, pending = 0, b""
        while True:
            last = self.over.is_set()
            new = self.lab.read(self.path, seen, missing=b"")
            seen += len(new)
            *lines, pending = (pending + new).split(b"\n")
            for line in lines:
                _console.print("  [cyan]│[/] " + line.decode("utf-8", "replace").rstrip("\r").replace("[", "\\["), soft_wrap=True)
            if last:
                return
            time.sleep(0.1)


def _timed(title, timings, action):
    """Do something that takes long, say so, and note how long it took."""
    began = time.monotonic()
    with _console.status(title + " ..."):
        result = action()
    timings.append((title, time.monotonic() - began))
    _console.print("[green]✓[/] %s [dim]%.1f s[/]" % (title, timings[-1][1]))
    return result


def main():
    timings = []
    lab = _timed("Boot Xen and a Linux dom0 in an emulated computer", timings, Lab)
    try:
        kernel = _timed("Copy the image to dom0", timings, lambda: lab.upload(IMAGE))
        follower = _Follower(lab, "%s/guest-firewall.log" % CONSOLES)
        guest = _timed("xl create firewall, with 32 MB", timings, lambda: lab.domain("firewall", kernel, monitored=True))
        follower.start()
        _timed("First lines on its console", timings, lambda: guest.wait_for("memory: "))
        time.sleep(2)
        _console.print(lab.run("xl list").rstrip(), style="dim")
        why = _timed("xl shutdown firewall", timings, lambda: (guest.shutdown(), guest.wait_for_end(10))[1])
        time.sleep(0.5)
        follower.over.set()
        follower.join(5)
        table = Table(title="The image on Xen (emulated CPU)")
        table.add_column("step")
        table.add_column("seconds", justify="right")
        for title, seconds in timings:
            table.add_row(title, "%.1f" % seconds)
        _console.print(table)
        return 0 if why in ("gone", "poweroff") else 1
    except LabError as error:
        _console.print("[red]✗[/] ", end="")
        _console.print(str(error), markup=False)
        return 1
    finally:
        lab.close()


if __name__ == "__main__":
    sys.exit(main())
