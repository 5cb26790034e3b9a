"""The internet behind a netvm of a site: a network namespace, made by the script `internet`.

It is 192.0.2.1 and .2, and the resolvers' addresses; the netvm is 192.0.2.254 to it. Where it lies, dom0 or a Linux domU,
is the netvm's business, of which it wants:

    run(argv, timeout, check)          output of a program
    start(argv, log)                   start a program that goes on running; its output goes to a file, anew
    text(path)                         what a file holds, "" if there is none
    await_text(path, text, seconds)    wait until a file has it; whether it came
"""
SERVED = "/var/log/services.log"
_SLOW = 600  # s that a shell may take beyond its loop's own count, on a busy lab
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

    def await_port(self, port, kind="tcp", seconds=60):
        """Wait until somebody listens there; LabError when nobody has in so many seconds of the netvm's clock.

        Source: Linux net/ipv4/tcp_ipv4.c, udp.c: sockets in /proc/net, whose state is 0A (listening), 07 (bound).
        """
        place = ":%04X [0-9A-F]*:0000 %s" % (port, {"tcp": "0A", "udp": "07"}[kind])
        self.sh("for i in $(seq %d); do grep -qs '%s' /proc/net/%s /proc/net/%s6 && exit 0; usleep 50000; done; exit 1"
                % (20 * seconds, place, kind, kind), seconds + _SLOW)

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
        """End all that was started; its addresses, and the netvm's routes to it, are those of the start."""
        self.netvm.run(["/internet", "reset"])
