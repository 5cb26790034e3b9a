"""qubes-firewall-explain QUBE PROTO ADDRESS [PORT]: which rule decides, by the rules that are in force now.

Exit status: 0 accepted, 1 dropped, 2 no answer, with a sentence that says why.
"""

import argparse
import ipaddress
import sys
import time

from . import calls, qubes, streams, top

PROTOCOLS = ("tcp", "udp", "icmp")
WAIT = 15.0  # seconds


class Fault(Exception):
    """There is no answer: a sentence."""


def main(words=None, out=None):
    made = argparse.ArgumentParser(prog="qubes-firewall-explain", description=__doc__.split("\n")[0])
    made.add_argument("qube", metavar="QUBE")
    made.add_argument("proto", metavar="PROTO", help="tcp, udp, icmp or a protocol's number")
    made.add_argument("to", metavar="ADDRESS")
    made.add_argument("port", metavar="PORT", nargs="?", help="of icmp its type")
    top.source(made)
    options = made.parse_args(words)
    try:
        question = check(options)
        source = top.source_of(options)
        firewall, address = find(source, options.qube)
        row = ask(source, firewall, "%s %s\n" % (address, question))
    except (Fault, calls.Unavailable) as error:
        sys.stderr.write("qubes-firewall-explain: %s\n" % streams.clean(str(error), streams.WIDE))
        return 2
    (out or sys.stdout).write("%s to %s: %s\n" % (options.qube, question, row["why"] or row["verdict"]))
    return 0 if row["verdict"] == "accept" else 1


def check(options):
    """The packet in the words of firewall.Explain; Fault names what is wrong with it."""
    proto = options.proto.lower()
    if proto not in PROTOCOLS and not (proto.isdecimal() and proto.isascii() and int(proto) < 256):
        raise Fault("protocol: got %r, expected tcp, udp, icmp or a number to 255" % options.proto)
    try:
        address = str(ipaddress.ip_address(options.to))
    except ValueError:
        raise Fault(
            "address: got %r, expected one such as 192.0.2.1: a name has many, and a rule is about each" % options.to
        )
    if options.port is None:
        if proto in ("tcp", "udp"):
            raise Fault("port: %s needs one" % proto)
        return "%s %s" % (proto, address)
    most = 255 if proto == "icmp" else 65535
    if not (
        options.port.isdecimal() and options.port.isascii() and len(options.port) < 6 and int(options.port) <= most
    ):
        raise Fault("port: got %r, expected a number to %d" % (options.port, most))
    if proto not in PROTOCOLS:
        raise Fault("port: protocol %s has none" % proto)
    return "%s %s %d" % (proto, address, int(options.port))


def find(source, name):
    """(its firewall's name, its address) of a qube."""
    names = qubes.Names(qubes.parse(source.listing()))
    qube = names.find(name)
    if qube is None:
        raise Fault("there is no qube %s" % name)
    if not qube.netvm:
        raise Fault("%s has no network: its netvm is none" % name)
    if qube.netvm not in names.firewalls():
        raise Fault("the netvm of %s is %s, which is no firewall of this kind, or does not run" % (name, qube.netvm))
    return qube.netvm, qube.address


def ask(source, firewall, question):
    """The row that answers."""
    reader, rows, began = streams.Reader("firewall.Explain"), [], time.monotonic()
    call = source.call(firewall, "firewall.Explain+json", question.encode("ascii"))
    try:
        while call.code is None and not rows and not reader.fault and time.monotonic() - began < WAIT:
            octets = call.read()
            rows += reader.feed(octets)
            if not octets and call.code is None:
                time.sleep(0.02)
    finally:
        call.end()
    if reader.fault or not rows:
        said = streams.clean(call.complaint.strip().split("\n")[-1])
        raise Fault("%s: %s" % (firewall, reader.fault or said or "no answer"))
    if "error" in rows[0]:
        raise Fault("%s: %s" % (firewall, rows[0]["error"]))
    return rows[0]
