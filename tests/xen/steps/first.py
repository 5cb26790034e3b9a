"""From a firewall's first instruction to the first ping that it forwards, by dom0's clock."""
import socket
import subprocess
import time

import consoles
import domains

_IPV4, _ICMP, _ECHO = 0x0800, 1, 8


def packet(attach, client, line, interface, firewall, seconds):
    """Unpause a firewall that has a client from the start; ns until an echo request comes in on an interface of dom0.

    attach: the words with which xl gives the client (a domid) its interface: that is announced before, and xl then
    waits for the firewall's backend. line: typed on the client's console before. None if nothing came in so many seconds.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)) as wire:
        wire.bind((interface, 0))
        attaching = subprocess.Popen(attach, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        listing = ["xenstore-list", "/local/domain/%d/device/vif" % client]
        while not subprocess.run(listing, capture_output=True, text=True).stdout.strip():
            if attaching.poll() is not None:
                raise OSError("xl announced no interface")
            time.sleep(0.01)
        consoles.type_line(client, line)
        time.sleep(0.5)  # the client waits by then
        domains.unpause(firewall)
        began = time.monotonic_ns()
        took = _first_echo(wire, began + int(seconds * 1e9))
        attaching.wait()
        return took and took - began


def _first_echo(wire, end):
    """When it came; None if none came until then."""
    while time.monotonic_ns() < end:
        wire.settimeout(max(end - time.monotonic_ns(), 1) / 1e9)
        try:
            frame = wire.recv(2048)
        except TimeoutError:
            break
        if frame[23] == _ICMP and frame[14 + 4 * (frame[14] & 15)] == _ECHO:
            return time.monotonic_ns()
    return None
