"""Octets that both ends of a transfer know: a piece that is lost, doubled, moved or of another stream shows."""
import hashlib
import random

PIECE = 1 << 16


def pieces(name, octets):
    """The stream of that name, in pieces of bytes; cheap, for emulated computers make it too."""
    body = random.Random(name).randbytes(2 * PIECE)
    for at in range(0, octets, PIECE):
        head = b"%08x" % at
        start = (at >> 8) % PIECE  # another stretch each time
        yield (head + body[start:start + PIECE - len(head)])[:octets - at]


def sha256(name, octets):
    digest = hashlib.sha256()
    for piece in pieces(name, octets):
        digest.update(piece)
    return digest.hexdigest()
