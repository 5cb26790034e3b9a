"""Shows a domain's console as it grows."""
import threading


class Follower(threading.Thread):
    """show(line) for each line of a file in dom0, until stop()."""

    def __init__(self, lab, path, show):
        super().__init__(daemon=True)
        self._lab, self._path, self._show = lab, path, show
        self._over = threading.Event()

    def run(self):
        seen, pending = 0, b""
        while True:
            last = self._over.wait(0.2)
            new = self._lab.read(self._path, seen, missing=b"")
            seen += len(new)
            *lines, pending = (pending + new).split(b"\n")
            for line in lines:
                self._show(line.decode("utf-8", "replace").rstrip("\r"))
            if last:
                return

    def stop(self):
        """Show what is there, and no more."""
        self._over.set()
        self.join(5)
