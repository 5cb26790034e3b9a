"""`./build.py shell`: a prompt on the lab's dom0.

Each line is run by dom0's shell. Lines that begin with a dot are for the lab. Its clock goes by instructions, and
runs ahead of yours while it is idle:

    .start [MB] [WORDS]   start build/vmlinuz as a domain, with words on its command line
    .test PROGRAM [WORDS] start build/vmlinuz-test with a program of tests/guest
    .linux                start a Linux domain
    .console NAME         show a domain's console
    .xen                  show Xen's log
    .put PATH             copy a file of the checkout to dom0's /images
    .quit                 switch off (as does Ctrl-D)
"""
import os
import readline  # noqa: F401  (line editing for input())

from .errors import LabError
from .lab import Lab


class Shell:
    def __init__(self, lab):
        self.lab = lab

    def dot_start(self, words):
        memory = int(words.pop(0)) if words and words[0].isdigit() else 32
        guest = self.lab.domain("firewall", self.lab.upload("/src/build/vmlinuz"), " ".join(words), memory)
        print("domain %d: %s" % (guest.domid, guest.name))

    def dot_test(self, words):
        guest = self.lab.domain(words[0], self.lab.upload("/src/build/vmlinuz-test"), "run=" + " ".join(words))
        print("domain %d: %s" % (guest.domid, guest.name))

    def dot_linux(self, words):
        print("domain %d" % self.lab.linux("linux").domid)

    def dot_console(self, words):
        print(self.lab.read("/var/log/xen/console/guest-%s.log" % words[0]).decode("utf-8", "replace"))

    def dot_xen(self, words):
        print(self.lab.xen_log())

    def dot_put(self, words):
        with open(os.path.join("/src", words[0]), "rb") as data:
            self.lab.write("/images/" + os.path.basename(words[0]), data.read())

    def line(self, text):
        words = text.split()
        if words and words[0].startswith("."):
            handler = getattr(self, "dot_" + words[0][1:], None)
            if handler is None:
                print(__doc__)
            else:
                handler(words[1:])
        elif words:
            print(self.lab.run(["sh", "-c", text + " 2>&1"], timeout=600, check=False), end="")


def main():
    print("Booting Xen ...", flush=True)
    lab = Lab(cpus=2)
    print("dom0 is up; .help tells more", flush=True)
    shell = Shell(lab)
    try:
        while True:
            text = input("dom0# ")
            if text.strip() == ".quit":
                break
            try:
                shell.line(text)
            except (LabError, OSError, IndexError) as error:
                print(error)
    except (EOFError, KeyboardInterrupt):
        print()
    finally:
        lab.close()


if __name__ == "__main__":
    main()
