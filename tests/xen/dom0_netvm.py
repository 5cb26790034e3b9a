"""dom0 as the netvm of a site, with the internet behind it. Its libxl has run the vif script before the firewall runs.

What a site wants of a netvm:
    address                 its own, in the view of the firewall: the gateway
    interface_words         of the uplink's line for xl, behind mac and ip
    backends                xenstore path below which its backends' directories lie
    internet                an Internet, see internet.py, with what that wants of a netvm
    sh(command)             output of a shell command in it
    reset(), close()
"""
from .internet import HEAD, Internet

SCRIPT_WORDS = "script=vif-site"


class Dom0Netvm:
    address = "10.137.0.8"
    interface_words = SCRIPT_WORDS
    backends = "/local/domain/0/backend/vif"

    def __init__(self, lab):
        self.lab = lab
        lab.write("/etc/site", b"address=%s\n" % self.address.encode())
        self.sh("[ -d /sys/module/veth ] || /load network")
        self.internet = Internet(self)

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in dom0."""
        return self.run(["sh", "-c", HEAD + command], timeout, check)

    def run(self, argv, timeout=30.0, check=True):
        return self.lab.run(argv, timeout, check)

    def start(self, argv, log):
        """The process id, too."""
        if log != "/dev/null":
            self.run(["rm", "-f", log])
        return self.lab.start(argv, log)

    def text(self, path):
        return self.lab.read(path, missing=b"").decode("utf-8", "replace")

    def await_text(self, path, text, seconds):
        return self.lab.await_text(path, text, seconds) is not None

    def reset(self):
        """End all that was started in the internet."""
        self.internet.reset()

    def close(self):
        self.run(["/internet", "down"])
