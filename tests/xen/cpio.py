"""The archive format of initramfs images: cpio "newc", written so that equal input gives equal bytes.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst. Archives may be put one
behind the other; the kernel unpacks them in that order, later files over earlier ones.
"""
import os
import stat


class Writer:
    """Collects entries by name; write() lays them down sorted, owned by root."""

    def __init__(self):
        self._entries = {}  # name: (mode, mtime, content)

    def folder(self, name):
        """A folder and all above it."""
        name = name.strip("/")
        while name:
            self._entries.setdefault(name, (stat.S_IFDIR | 0o755, 0, b""))
            name = os.path.dirname(name)

    def file(self, name, content, mode=0o644, mtime=0):
        """A file of bytes. mtime matters for Python, which compares it with that in the .pyc."""
        self.folder(os.path.dirname(name))
        self._entries[name.strip("/")] = (stat.S_IFREG | mode, mtime, content)

    def link(self, name, target):
        """A symbolic link."""
        self.folder(os.path.dirname(name))
        self._entries[name.strip("/")] = (stat.S_IFLNK | 0o777, 0, target.encode())

    def copy(self, path, name=None):
        """The file at path, links followed, under its own name or another. Once is enough."""
        name = (name or path).strip("/")
        if name not in self._entries:
            with open(path, "rb") as data:
                status = os.fstat(data.fileno())
                self.file(name, data.read(), 0o755 if status.st_mode & 0o100 else 0o644, int(status.st_mtime))

    def device(self, name, major, minor):
        """A character device."""
        self._entries[name] = (stat.S_IFCHR | 0o600, 0, (major, minor))

    def write(self, out):
        """Write the archive to a binary file."""
        for number, (name, (mode, mtime, content)) in enumerate(sorted(self._entries.items()), 1):
            device = (0, 0)
            if stat.S_ISCHR(mode):
                device, content = content, b""
            _entry(out, number, name, mode, mtime, content, device)
        _entry(out, 0, "TRAILER!!!", 0, 0, b"", (0, 0))


def _entry(out, number, name, mode, mtime, content, device):
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, mtime, len(content), 0, 0, device[0], device[1], len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    out.write(head + bytes(-len(head) % 4))
    out.write(content + bytes(-len(content) % 4))
