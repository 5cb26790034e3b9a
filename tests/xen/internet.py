"""The internet behind a netvm of a site: a network namespace, made by the script `internet`.

It is 192.0.2.1 and .2, and the resolvers' addresses; the netvm is 192.0.2.254 to it. Where it lies, dom0 or a Linux domU,
is the netvm's business, of which it wants:

    run(argv, timeout, check)          output of a program
    start(argv, log)                   start a program that goes on running; its output goes to a file, anew
    text(path)                         what a file holds, "" if there is none
    await_text(path, text, seconds)    wait until a file has it; whether it came
"""
SERVED = "/var/log/services.log"
HEAD = 'ip() { /usr/sbin/ip "$@"; }; '  # not that of busybox, which its shell takes before all others


class Internet:
    address, other = "192.0.2.1", "192.0.2.2"
    _enter = ["/usr/sbin/ip", "netns", "exec", "internet"]

    def __init__(self, netvm):
        self.netvm = netvm
        netvm.run(["/internet", "up"])

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command."""
        words = self._enter + ["sh", "-c", HEAD + command]
        return self.netvm.run(words, timeout, check)

    def start(self, argv, log="/dev/null"):
        """Start a program that goes on running. Its output goes to a file, anew."""
        return self.netvm.start(self._enter + list(argv), log)

    def text(self, log):
        """What such a file holds."""
        return self.netvm.text(log)

    def await_text(self, log, text, seconds):
        """Wait until such a file has a text; whether it came in so many seconds."""
        return self.netvm.await_text(log, text, seconds)

    def serve(self, seconds):
        """Start steps/services.py, whose log is SERVED; True if all servers were ready in so many seconds."""
        self.start(["python3", "/steps/services.py"], SERVED)
        return self.await_text(SERVED, "ready", seconds)

    def reset(self):
        """End all that was started."""
        self.netvm.run(["/internet", "reset"])
