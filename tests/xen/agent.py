"""Runs in the lab's dom0 and carries out what tests ask for, over a virtio serial port.

A message, both ways, is one line of JSON; with a field "octets" that many raw bytes follow it.
Each request is handled in a process of its own, so that a slow or dying step holds up nobody:

    {"id", "do": "run", "argv", "timeout"}               -> {"status", "out", "err"}
    {"id", "do": "start", "argv", "log"}                 -> {"pid"}: runs on, output to the file log
    {"id", "do": "call", "function", "args", "timeout"}  -> {"value"}: MODULE.FUNCTION of /steps
    {"id", "do": "put", "path", "mode", "octets"}        -> {}
    {"id", "do": "get", "path", "offset"}                -> {"octets"} and the file's bytes from offset on
    {"id", "do": "await", "path", "text", "offset", "domid", "timeout"} -> {"found", "state"}
    {"id", "do": "clock"}                                -> {"clock"}: at once, behind all answers given before

"found": offset behind text, or None after that time or, where a domain is named, when it no longer runs and its
console has come; "state": its state then. A request that fails is answered with {"error": text}. Times are in seconds.
"""
import fcntl
import glob
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback

PORT_NAME = "lab"
LOCK = "/run/agent.lock"
CONSOLE_SECONDS = 0.5  # from a domain's end until xenconsoled has written its last lines to the file
sys.path.insert(0, "/steps")
import domains  # noqa: E402


def open_port():
    """The virtio port whose other end is the lab."""
    while True:
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(path) as name:
                if name.read().strip() == PORT_NAME:
                    return os.open("/dev/" + path.split("/")[-2], os.O_RDWR)
        time.sleep(0.05)


class Reader:
    """Messages from the port."""

    def __init__(self, port):
        self.port, self.held = port, bytearray()

    def _more(self):
        got = os.read(self.port, 1 << 16)
        if not got:
            time.sleep(0.05)  # nobody has the other end open
        self.held += got

    def message(self):
        """The next (header, bytes behind it)."""
        while b"\n" not in self.held:
            self._more()
        line, _, rest = self.held.partition(b"\n")
        header = json.loads(line)
        self.held = rest
        size = header.get("octets", 0)
        while len(self.held) < size:
            self._more()
        body, self.held = bytes(self.held[:size]), self.held[size:]
        return header, body


def answer(port, header, body=b""):
    """Write one message; processes take turns."""
    if body:
        header["octets"] = len(body)
    data = memoryview(json.dumps(header).encode() + b"\n" + body)
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while data:
            data = data[os.write(port, data[:1 << 15]):]


def do_run(request, _):
    process = subprocess.Popen(request["argv"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace", start_new_session=True)
    try:
        out, err = process.communicate(timeout=request["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return {"error": "%s: not done after %g s\n%s%s" % (request["argv"], request["timeout"], out, err)}, b""
    return {"status": process.returncode, "out": out, "err": err}, b""


def do_start(request, _):
    with open(request["log"], "ab") as log:
        process = subprocess.Popen(request["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    return {"pid": process.pid}, b""


def do_call(request, _):
    def late(number, frame):
        raise TimeoutError("%s: not done after %g s" % (request["function"], request["timeout"]))
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, request["timeout"])
    module, _, name = request["function"].rpartition(".")
    return {"value": getattr(importlib.import_module(module), name)(*request["args"])}, b""


def do_put(request, body):
    part = "%s.%d.part" % (request["path"], request["id"])  # two may put the same file
    with open(part, "wb") as out:
        out.write(body)
    os.chmod(part, request["mode"])
    os.rename(part, request["path"])
    return {}, b""


def do_get(request, _):
    with open(request["path"], "rb") as data:
        data.seek(request["offset"])
        return {}, data.read()


def do_await(request, _):
    text, offset, domid = request["text"].encode(), request["offset"], request["domid"]
    end = time.monotonic() + request["timeout"]
    state = "running"
    while True:
        if domid is not None and state == "running":
            state = domains.state(domid)
            if state != "running":
                end = min(end, time.monotonic() + CONSOLE_SECONDS)
        content = content_from(request["path"], offset)
        at = content.find(text)
        if at >= 0:
            return {"found": offset + at + len(text), "state": state}, b""
        if time.monotonic() > end:
            return {"found": None, "state": state}, b""
        time.sleep(0.02)


def content_from(path, offset):
    """A file's bytes from offset on; none if there is no file."""
    try:
        with open(path, "rb") as data:
            data.seek(offset)
            return data.read()
    except FileNotFoundError:
        return b""


HANDLERS = {"run": do_run, "start": do_start, "call": do_call, "put": do_put, "get": do_get, "await": do_await}


def serve(port, request, body):
    """Handle one request; whatever goes wrong in it is its answer."""
    try:
        header, out = HANDLERS[request["do"]](request, body)
    except BaseException:
        header, out = {"error": traceback.format_exc()}, b""
    header["id"] = request["id"]
    answer(port, header, out)


def main():
    port = open_port()
    reader = Reader(port)
    print("agent: ready", flush=True)
    while True:
        request, body = reader.message()
        while True:  # collect children that have ended, without waiting
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        if request["do"] == "clock":
            answer(port, {"id": request["id"], "clock": time.monotonic()})
        elif os.fork() == 0:
            serve(port, request, body)
            os._exit(0)


if __name__ == "__main__":
    main()
