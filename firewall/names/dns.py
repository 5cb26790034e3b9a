"""DNS messages (RFC 1035 4.1), as far as asking for the addresses of a name goes.

answer() is the one place that judges what came from outside: lengths, pointers, who a record is about. Names are text
in lower case, letters, digits, "-", "_" and dots between; one with another octet in a label is nobody's name here. A
message is bytes and begins with its header; over TCP two octets with its length stand before it.
"""
from struct import pack, unpack_from

from micropython import const

PORT = const(53)
HEADER = const(12)  # octets
A = const(1)
AAAA = const(28)
SIZES = {A: 4, AAAA: 16}  # octets of an address

# what answer() says, beside None and a list of addresses
NONE = const(0)  # the name, or an address of it, does not exist: who was asked is sure of it
FAILED = const(1)  # a refusal, or nonsense
TRUNCATED = const(2)  # there is more than a datagram has (RFC 7766)

# the second word of the header: flags
_RESPONSE = const(0x8000)
_OPCODE = const(0x7800)
_AA = const(0x0400)
_TC = const(0x0200)
_RD = const(0x0100)
_RCODE = const(0x000F)
_NXDOMAIN = const(3)

_IN = const(1)
_NS = const(2)
_CNAME = const(5)
_SOA = const(6)
_POINTER = const(0xC0)  # the two upper bits of a label's length
_LABEL = const(63)  # octets of a label (RFC 1035 2.3.4)
_NAME = const(253)  # octets of a name in text
_CHAIN = const(8)  # aliases that are followed
_RECORDS = const(320)  # that are read: 256 addresses with their aliases and some to spare
_WORK = const(2500)  # labels and pointers of a message that are read: more than these records have
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789-_"


def question(ident, host, kind=A):
    """The message that asks a resolver for the addresses of host; which labels are right is for the caller to know."""
    octets = b"".join([bytes((len(label),)) + label.encode() for label in host.split(".")])
    return pack(">6H", ident, _RD, 1, 0, 0, 0) + octets + b"\0" + pack(">HH", kind, _IN)


def asked(message):
    """(identification, name, type) of a message that is a question for one name; None: it is not."""
    if len(message) < HEADER:
        return None
    ident, flags, questions = unpack_from(">3H", message, 0)
    name, at = _name(message, HEADER, [_WORK])
    if flags & (_RESPONSE | _OPCODE) or questions != 1 or not name or at + 4 > len(message):
        return None
    kind, family = unpack_from(">HH", message, at)
    return (ident, name, kind) if family == _IN else None


def answer(message, ident, host, kind=A):
    """What a message says to our question: [(address, TTL in s), ...], NONE, FAILED, TRUNCATED; None: it is no answer.

    Only records count that are about host, or about what a chain of at most _CHAIN aliases makes of it; of a message
    that breaks off, or lies about a length, none does.
    """
    if len(message) < HEADER:
        return None
    number, flags, questions, answers, authorities = unpack_from(">5H", message, 0)
    if number != ident or not flags & _RESPONSE or flags & _OPCODE or questions != 1:
        return None
    work = [_WORK]  # what is left of it
    name, at = _name(message, HEADER, work)
    if name != host or at + 4 > len(message) or unpack_from(">HH", message, at) != (kind, _IN):
        return None
    if flags & _TC:
        return TRUNCATED
    if flags & _RCODE:
        return NONE if flags & _RCODE == _NXDOMAIN else FAILED
    aliases, addresses = {}, []
    at = _read(message, at + 4, min(answers, _RECORDS), host, kind, aliases, addresses, work)
    if at < 0:
        return FAILED
    found = _follow(host, aliases, addresses)
    if found or found is None:
        return found or FAILED
    # nothing: either there is none, or who was asked sends us elsewhere and does not know (RFC 2308 2.2)
    return FAILED if not flags & _AA and not aliases and _refers(message, at, authorities, work) else NONE


def _read(message, at, records, host, kind, aliases, addresses, work):
    """Fill aliases {name: (name, TTL)} and addresses [(name, address, TTL)] from records; where they end, or -1."""
    size = SIZES[kind]
    for _ in range(records):
        # nearly all names are a pointer to the question's
        if message[at : at + 2] == b"\xc0\x0c":
            name, at = host, at + 2
        else:
            name, at = _name(message, at, work)
        if not at or at + 10 > len(message):
            return -1
        what, family, ttl, octets = unpack_from(">HHIH", message, at)
        at += 10
        end = at + octets
        if end > len(message):
            return -1
        ttl = 0 if ttl >> 31 else ttl  # (RFC 2181 8)
        if family == _IN and what == kind:
            if octets != size:
                return -1
            if name:
                addresses.append((name, int.from_bytes(message[at:end], "big"), ttl))
        elif family == _IN and what == _CNAME:
            other, behind = _name(message, at, work)
            if behind != end:
                return -1
            if name and other:
                aliases[name] = other, ttl
        at = end
    return at


def _follow(host, aliases, addresses):
    """[(address, TTL)] of host by its aliases, the TTL the shortest on the way; None: they go round, or on and on."""
    least = 0xFFFFFFFF
    for _ in range(_CHAIN + 1):
        found = [(address, min(ttl, least)) for name, address, ttl in addresses if name == host]
        if found or host not in aliases:
            return found
        host, ttl = aliases[host]
        least = min(ttl, least)
    return None


def _refers(message, at, records, work):
    """True if of the records from at on some name servers, and none says where a zone begins."""
    servers = False
    for _ in range(min(records, _RECORDS)):
        _, at = _name(message, at, work)
        if not at or at + 10 > len(message):
            return True
        what, _, _, octets = unpack_from(">HHIH", message, at)
        if what == _SOA:
            return False
        servers = servers or what == _NS
        at += 10 + octets
    return servers


def _name(message, at, work):
    """(the name at this octet, where what follows it begins); (None, there): none of ours; (None, 0): it is broken.

    A pointer leads to before where the labels that end with it begin, so there are no circles (RFC 9267). work: a list
    of how many labels and pointers may still be read.
    """
    labels = []
    begin = at
    after = left = 0
    good = True
    while at < len(message) and work[0]:
        work[0] -= 1
        octets = message[at]
        at += 1
        if octets >= _POINTER and at < len(message):
            after = after or at + 1
            at = (octets & 0x3F) << 8 | message[at]
            if not HEADER <= at < begin:
                break
            begin = at
        elif not octets:
            return ".".join(labels) if good else None, after or at
        else:
            label = message[at : at + octets]
            at += octets
            left += octets + 1
            if octets > _LABEL or left > _NAME + 1:
                break
            label = label.lower()
            good = good and not label.strip(_LETTERS)
            labels.append(label.decode() if good else "")
    return None, 0
