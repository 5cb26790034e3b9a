"""What tests of refused memory begin with: two clients that may talk, flows of theirs, a call that is refused some."""
from packets import SYN, Look, tcp, udp

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
STARVED = """
import starve
def starved(n, function, *args):
    # whether the allocation after n more in function(*args) was refused, and that ended it
    starve.after(n)
    starve.on()
    try:
        function(*args)
        failed = False
    except MemoryError:
        failed = True
    starve.off()
    starve.after(-1)
    return failed
"""  # for the image itself


def begun(net, tcp_of, **options):
    """net.a, net.b (with these options), and their ports outside: of A's UDP flow, of the TCP flow of client tcp_of."""
    net.a, net.b = net.client(A), net.client(B, **options)
    net.allow((A, B))
    net.a.send(udp(A, 4001, SERVER, 53))
    net.port = Look(net.uplink.recv()).sport
    (net.a if tcp_of == A else net.b).send(tcp(tcp_of, 4002, SERVER, 80, SYN))
    net.tcp_port = Look(net.uplink.recv()).sport
    return net


def quiet(net):
    """Forget what has come, at every wire."""
    for wire in net.wires:
        wire.end.frames.clear()
        if wire is not net.uplink:
            wire.end.responses.clear()


def out(net):
    """From A to the uplink, in parts."""
    net.a.end.queue(udp(A, 4001, SERVER, 53, b"x" * 3000), sizes=[20, 30, 900])
    net.a.end.kick()
