"""`./build.py sim`: the simulated firewall in the foreground, in real time, for peers outside pytest.

With VCHAN_SOCKET_DIR set its vchans are Unix sockets there, named as Qubes' own stand-in names them. Ctrl-C or
the firewall's own end stops it.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import Machine  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cmdline", nargs="*", help="words for the firewall's command line")
    words = " ".join(parser.parse_args().cmdline)
    shown = 0
    with Machine(real_time=True) as machine:
        firewall = machine.firewall(words)
        print("the simulated firewall is domain %d; Ctrl-C ends it" % firewall.domid, flush=True)

        def ended():
            nonlocal shown
            print(firewall.console[shown:], end="", flush=True)
            shown = len(firewall.console)
            return firewall.process.poll() is not None

        try:
            machine.until(ended, seconds=float("inf"), what="the firewall's end")
        except KeyboardInterrupt:
            print()
            return 0
        print("the firewall has ended")
        return 1


if __name__ == "__main__":
    sys.exit(main())
