"""The one exception for a neighbour's lie."""


class PeerError(Exception):
    """A neighbour broke a protocol: a ring, a grant, a node in xenstore. str() says what it did.

    Raised where it is noticed, caught in one place: the task of that neighbour, which logs one line, closes the
    link and takes its resources back. Nobody else suffers.
    """
