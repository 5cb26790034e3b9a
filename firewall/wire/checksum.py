"""The Internet checksum: whole sums (RFC 1071) and incremental updates (RFC 1624, equation 3).

A sum is a folded ones'-complement sum of big-endian words, not inverted, 0...0xFFFF; a check is
what stands in a header: the inverted sum. A delta is the sum of ~old and new words; it is worked
out once for a flow and then applied to every packet, whatever the packet's own check is.
"""
try:
    from xen import csum as total  # C in the image and in the simulation
except ImportError:

    def total(buf, offset, octets, seed):
        """Sum over octets of buf from offset on, added to the sum seed; an odd end counts as padded."""
        end = offset + octets
        if octets & 1:
            end -= 1
            seed += buf[end] << 8
        for i in range(offset, end, 2):
            seed += buf[i] << 8 | buf[i + 1]
        return fold(seed)


def fold(value):
    """value (any non-negative int) reduced to 16 bits with end-around carry; 0 only from 0."""
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def delta16(old, new):
    """Delta of a 16-bit word that changes from old to new."""
    return fold((old ^ 0xFFFF) + new)


def delta32(old, new):
    """Delta of a 32-bit field, such as an address, that changes from old to new."""
    old ^= 0xFFFFFFFF
    return fold((old >> 16) + (old & 0xFFFF) + (new >> 16) + (new & 0xFFFF))


def update(check, delta):
    """The check of a header after delta. Deltas add up: update(check, a + b) applies both.

    Equation 3 of RFC 1624, HC' = ~(~HC + ~m + m'); its equation 4 fails when the result is
    0xFFFF. The caller of UDP leaves a check of 0 alone and writes 0xFFFF for a result of 0.
    """
    return fold((check ^ 0xFFFF) + delta) ^ 0xFFFF


def pseudo(src, dst, proto, octets):
    """Sum of the pseudo-header before TCP and UDP (RFC 9293 3.1, RFC 768); octets: header and data."""
    return fold((src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + proto + octets)
