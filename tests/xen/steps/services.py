"""Servers on the internet of a site: python3 /steps/services.py. It says "ready", then a line for each thing it served.

DNS, port 53, UDP and TCP: N.addresses.example has the N addresses 198.51.100.1 and following; over UDP, an answer of
more than 512 octets is cut and marked so, upon which resolvers ask again by TCP. All else does not exist.
HTTP, port 80: GET /NAME/OCTETS gives that stream of payload.py; PUT of one is answered with what arrived: its SHA-256.
Mirror, port 7000: answers each line with the line reversed, on any number of connections.

Sources: RFC 1035 (4.1 the message, 4.2.2 its length before it in TCP), RFC 9112.
"""
import hashlib
import socketserver
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import payload

_ANSWER, _CUT, _NO_SUCH_NAME = 0x8180, 0x0200, 3


def say(text):
    """One write for all of it: threads say things at the same time."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def names(message, limit):
    """The answer to a DNS question in at most `limit` octets, and how many addresses it has."""
    number, _, questions = struct.unpack_from(">HHH", message)
    end = message.index(0, 12) + 5
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    kind = struct.unpack_from(">H", message, end - 4)[0]
    known = labels[1:] == ["addresses", "example"] and labels[0].isdigit()
    count = int(labels[0]) if known and kind == 1 else 0
    flags = _ANSWER if known else _ANSWER | _NO_SUCH_NAME
    records = b"".join(struct.pack(">HHHIH4B", 0xC00C, 1, 1, 60, 4, 198, 51, 100, i + 1) for i in range(count))
    if end + len(records) > limit:
        flags, count, records = flags | _CUT, 0, b""
    return struct.pack(">HHHHHH", number, flags, 1, count, 0, 0) + message[12:end] + records, count


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self):
        message, endpoint = self.request
        answer, count = names(message, 512)
        say("dns udp %s %d" % (self.client_address[0], count))
        endpoint.sendto(answer, self.client_address)


class DnsTcp(socketserver.StreamRequestHandler):
    def handle(self):
        head = self.rfile.read(2)
        if len(head) == 2:
            answer, count = names(self.rfile.read(int.from_bytes(head, "big")), 65535)
            say("dns tcp %s %d" % (self.client_address[0], count))
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _begin(self, octets):
        self.send_response(200)
        self.send_header("Content-Length", str(octets))
        self.end_headers()

    def do_GET(self):
        name, octets = self.path.strip("/").split("/")
        self._begin(int(octets))
        for piece in payload.pieces(name, int(octets)):
            self.wfile.write(piece)

    def do_PUT(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read1(min(left, payload.PIECE))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        text = digest.hexdigest().encode()
        self._begin(len(text))
        self.wfile.write(text)

    def log_message(self, form, *words):
        say("http %s %s" % (self.client_address[0], form % words))


class Mirror(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line[-2::-1] + b"\n")


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 512


def main():
    servers = [socketserver.UDPServer((address, 53), DnsUdp) for address in ("10.139.1.1", "10.139.1.2")]
    servers += [Tcp((address, 53), DnsTcp) for address in ("10.139.1.1", "10.139.1.2")]
    servers += [ThreadingHTTPServer(("", 80), Http), Tcp(("", 7000), Mirror)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    say("ready")


if __name__ == "__main__":
    main()
