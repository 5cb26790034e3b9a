"""Wildcards: what `wild-<n>.firewall` in a rule stands for."""
_BEGIN, _END = "wild-", ".firewall"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."


def number(host):
    """The number of a wildcard, as text; "" for a name."""
    middle = host[len(_BEGIN) : -len(_END)] if host.startswith(_BEGIN) and host.endswith(_END) else ""
    return middle if middle.isdigit() else ""


def good(pattern):
    """True for "*.example.org", or a name."""
    name = pattern[2:] if pattern.startswith("*.") else pattern
    return 0 < len(name) <= 253 and name[0] != "." and name[-1] != "." and all([c in _LETTERS for c in name])


def fits(host, pattern):
    """True if the pattern, which is good, stands for a name too."""
    return host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*.") else host == pattern
