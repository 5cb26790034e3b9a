"""Memory that is refused while settings of names change or a client leaves: done again it is done whole.

Each allocation in turn is refused once. What was learnt is counted right, no name keeps users that it has not, and
whoever teaches is who should.
"""
import pytest

_SCRIPT = """
import starve
import xen
from firewall.names import dns
from firewall.names.names import Names
from firewall.rules.matcher import load
from struct import pack

class Ways:
    def port(self, proto, server):
        return 5000
    def release(self, proto, port):
        pass
    def datagram(self, *_):
        pass

def hear(names, client, host, address):
    message = dns.question(7, host, dns.A)
    names.asked(client, 5, message, 10)
    answer = message[:2] + pack(">HHHHH", 0x8180, 1, 1, 0, 0) + message[12:]
    return names.heard(client, 5, answer + b"\\xc0\\x0c" + pack(">HHIHI", 1, 1, 300, 4, address), 10)

def made():
    # three clients with two names each in their lists, one of them the same, who have learnt two each
    names = Names(Ways(), xen.random, print)
    taught = []
    names.on_learning = lambda resolvers: taught.append(tuple(resolvers))
    names.set_resolvers([9])
    names.set_up(True, 8)
    for client in (1, 2, 3):
        names.attached(client)
        names.in_force(client, rules(names, client), 10)
        for i in (0, 1):
            assert hear(names, client, ("own%d" % client, "both")[i], 100 * client + i)
    names.tick(10)
    return names, taught

def rules(names, client):
    entries = {"policy": b"drop"}
    for i, host in enumerate(("own%d" % client, "both")):
        entries["%04d" % i] = b"action=accept dsthost=" + host.encode()
    return load(entries, "10.137.0.%d" % client, (9,), names.of(client))[0]

def sound(names):
    learnt = [known.learnt for known in names.clients.values()]
    assert names._hosts == sum([len(each.hosts) for each in learnt]), "hosts"
    assert names._addresses == sum([each.addresses for each in learnt]), "addresses"
    users = {}
    for known in names.clients.values():
        for host in known.hosts:
            users[host] = users.get(host, 0) + 1
    assert {host: name.users for host, name in names.table.names.items()} == users, "users"

def off(names):
    names.learning = False

def off_done(names, taught):
    assert not names.learning and names._hosts == 0 and taught[-1] == ()
    assert [len(known.learnt.hosts) for known in names.clients.values()] == [0, 0, 0]
    names.learning = True
    assert taught[-1] == (9,) and hear(names, 1, "own1", 77)

def on(names):
    names._learning = False
    names.learning = True

def on_done(names, taught):
    assert names.learning and taught[-1] == (9,)

def resolvers(names):
    names.set_resolvers([10, 11])

def resolvers_done(names, taught):
    assert taught[-1] == (10, 11) == names.questions.resolvers
    assert names.changed >= {1, 2, 3} and not names.questions.open
    assert not [known for known in names.clients.values() if known.learnt.admits("both", 10)]

def netvm(names):
    names.set_up(False)
    names.set_up(True, 12)

def netvm_done(names, taught):
    assert names.up and names._netvm == 12
    assert not [known for known in names.clients.values() if known.learnt.admits("both", 10)]

def leave(names):
    names.detached(2)

def leave_done(names, taught):
    assert 2 not in names.clients and 2 in names.changed and set(names.table.names) == {"own1", "own3", "both"}

def learn(names):
    hear(names, 1, "third", 55)

def learn_done(names, taught):
    assert names.clients[1].learnt.admits("third", 10) == (55,)

what, done = globals()[WHAT], globals()[WHAT + "_done"]
n, refused = 0, 0
while True:
    names, taught = made()
    sound(names)
    starve.after(n)
    starve.on()
    try:
        what(names)
        failed = False
    except MemoryError:
        failed = True
    happened = starve.off()
    starve.after(-1)
    sound(names)
    if failed:
        refused += 1
        what(names)
    done(names, taught)
    sound(names)
    if not happened:
        break
    n += 1
assert refused, "nothing was refused"
print("all is well:", refused, "of", n)
"""


@pytest.mark.parametrize("what", ["off", "on", "resolvers", "netvm", "leave", "learn"])
def test_what_memory_was_refused_for_is_done_when_it_is_done_again(machine, run, what):
    """Learning was off for one client and on for others, and what they had learnt was counted for ever."""
    firewall = run(machine, _SCRIPT.replace("WHAT", repr(what), 1).replace("WHAT", repr(what)))
    assert firewall.lines("all is well"), firewall.console
