"""The command line, read tolerantly: dom0 may prepend what is meant for Linux."""


def parse(octets):
    """{word: value} of a command line in bytes; the value is "" for a word without "=".

    Words that nobody asks for do no harm. Of two equal words the last counts, as in Linux. A word with octets
    outside printable ASCII is left out.
    """
    words = {}
    for word in octets.split():
        if any(not 0x20 < octet < 0x7F for octet in word):
            continue
        name, _, value = word.decode().partition("=")
        words[name] = value
    return words
