"""The rules of a client as the Linux firewall VM of Qubes 4.2 has them: QubesDB's rules made nftables'.

Nftables stands where a site has its QubesDB.
"""
RESOLVERS = "{ 10.139.1.1, 10.139.1.2 }"
_REJECT = "reject with icmp type admin-prohibited"
_PIECE = 3000  # characters of a line that a console takes at once


def statement(rule):
    """A rule of Qubes' as nftables' statements; two where it is about both protocols that have ports."""
    words = dict(pair.split("=", 1) for pair in rule.split(" "))
    verdict = "accept" if words.pop("action") == "accept" else _REJECT
    head = ["ip daddr " + words.pop("dst4")] if "dst4" in words else []
    protocols = [words.pop("proto")] if "proto" in words else []
    ports = words.pop("dstports").split("-") if "dstports" in words else []
    if words.pop("specialtarget", None) == "dns":
        head, ports = ["ip daddr " + RESOLVERS], ["53"]
    if words:
        raise ValueError("%s: the bench knows no rule with %s" % (rule, ", ".join(words)))
    if not ports:
        return [" ".join(head + ["meta l4proto " + name for name in protocols] + [verdict])]
    span = ports[0] if len(set(ports)) == 1 else "-".join(ports)
    return [" ".join(head + ["%s dport %s" % (name, span), verdict]) for name in protocols or ("tcp", "udp")]


def chain(address, rules):
    """What nft reads to give a client its rules, and nothing else; policy drop."""
    name = "qbs-" + address.replace(".", "-")
    lines = ["add chain ip qubes-firewall " + name, "flush chain ip qubes-firewall " + name]
    lines += ["add rule ip qubes-firewall %s %s" % (name, text) for rule in rules for text in statement(rule)]
    return lines + ["add rule ip qubes-firewall %s %s" % (name, _REJECT)]


def jump(address):
    return "add rule ip qubes-firewall qubes-forward ip saddr %s jump qbs-%s" % (address, address.replace(".", "-"))


class Nftables:
    def __init__(self, firewall):
        """firewall: the Linux domain."""
        self._firewall, self._known = firewall, set()

    def write(self, path, text=""):
        """/connected-ips: what the vif script does instead."""

    def commit(self, address, rules):
        lines = chain(address, rules) + ([] if address in self._known else [jump(address)])
        self._known.add(address)
        self._firewall.sh(": > /tmp/rules")
        while lines:
            piece = []
            while lines and sum(map(len, piece)) + len(lines[0]) < _PIECE:
                piece.append(lines.pop(0))
            self._firewall.sh("printf '%s\\n' >> /tmp/rules" % "\\n".join(piece))
        self._firewall.sh("nft -f /tmp/rules", timeout=60)

    def commit_and_wait(self, address, rules, seconds):
        self.commit(address, rules)
        return 0.0

    def state(self):
        return {"asked": True}

    def stop(self):
        """It ends with its domain."""
