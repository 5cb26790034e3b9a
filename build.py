#!/usr/bin/env python3
"""Build, test and try the firewall image. Needs Python 3.9, apt, and root or user namespaces.

The first run makes a tool root (a small Debian 13 with compiler, Xen, QEMU and kernels) in the
user's cache folder, which takes a few minutes and about 1.5 GB; later runs take seconds to start.
"""
import argparse
import os
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from images import archive, kernel, lock, progress, signature, toolroot  # noqa: E402
from images import release as releases  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def image(options):
    """Build build/vmlinuz and print its path, size and SHA-256."""
    root = kernel.tool_root(options.apt_sources, options.here)
    path = kernel.build("image", options.apt_sources, options.jobs, root)
    print("%s\n%d octets\nSHA-256 %s" % (path, os.path.getsize(path), archive.sha256(path)))


def release(options):
    """Lay out build/release/, or compare what is built here with the recorded hash."""
    if options.sign:
        signature.fingerprint(options.sign)  # before minutes of building
    root = kernel.tool_root(options.apt_sources, options.here)
    if options.check is not None:
        other = os.path.abspath(options.check) if options.check else None
        same, lines = releases.check(root, other, options.apt_sources, options.jobs)
        print("\n".join(lines))
        return 0 if same else 1
    sums = releases.make(root, options.apt_sources, options.jobs)
    if options.record:
        releases.record(root, sums)
    with open(os.path.join(releases.FOLDER, releases.RECORD)) as text:
        print(text.read() + "in " + releases.FOLDER)
    if options.sign:
        print("signed: " + signature.sign(releases.FOLDER, options.sign))


def verify(options):
    """Say whether a release is whole, and signed by the key whose fingerprint a file has. Needs gpg alone."""
    print("\n".join(signature.verify(options.folder, options.fingerprint)))


def _lab(options):
    """The lab's root, and what its programs see: the checkout, its build folder, the cache."""
    root = toolroot.ensure([kernel.BUILD_LOCK, kernel.LAB_LOCK], "lab.lock", options.apt_sources)
    binds = [(HERE, "/src"), (toolroot.cache_folder(), "/cache/qubes-python-firewall")]
    kept = {"HYPOTHESIS_STORAGE_DIRECTORY": "/src/build/hypothesis"}
    kept.update({name: os.environ[name] for name in ("CI", "SEED", "TERM", "COLUMNS") if os.environ.get(name)})
    return root, binds, kept


def _run_in_lab(options, argv):
    root, binds, kept = _lab(options)
    return root.run(argv, binds, "/src", kept).returncode


def test(options):
    """Build what the tests need and run pytest in the lab's root; its exit status is ours."""
    kinds = [options.kind] if options.kind else ["host", "sim", "xen"]
    variants = {"host": ["sim"], "sim": ["sim"], "xen": ["image", "test"]}
    for variant in sorted({name for kind in kinds for name in variants[kind]}):
        kernel.build(variant, options.apt_sources, options.jobs)
    paths = ["tests/" + kind for kind in kinds if os.path.isdir(os.path.join(HERE, "tests", kind))]
    words = ["python3", "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir=/src"]
    words += ["--color=yes"] if sys.stdout.isatty() else []
    words += ["--quick"] if options.quick else []
    if "host" in kinds and not options.rest:  # not in the root, which has one Python alone
        if subprocess.run([sys.executable, "-m", "tests.dom0.pythons"], cwd=HERE).returncode:
            return 1
    if options.quick or not options.kind:
        words += ["--numprocesses=2", "--dist=loadfile" if options.quick else "--dist=loadgroup"]
    return _run_in_lab(options, words + paths + options.rest)


def lint(options):
    """Look at all Python without running it: names, style, format, and what MicroPython's compiler does wrong."""
    return _run_in_lab(options, ["python3", "-m", "tests.lint"] + options.rest)


def mutate(options):
    """Plant small faults in the firewall's Python, one at a time, and say which ones no test sees."""
    return _run_in_lab(options, ["python3", "-m", "tests.mutation"] + options.modules + options.rest)


def _commit(name):
    """(folder, hash): what a commit has, unpacked once below build/."""
    found = subprocess.run(["git", "-C", HERE, "rev-parse", "--verify", "--quiet", name + "^{commit}"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise progress.Problem("%s: git knows no such commit" % name)
    commit = found.stdout.strip()
    folder = os.path.join(HERE, "build", "equal", commit)
    if not os.path.isdir(folder):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as part:
            tar = subprocess.run(["git", "-C", HERE, "archive", commit], stdout=subprocess.PIPE, check=True).stdout
            subprocess.run(["tar", "-x", "-C", part], input=tar, check=True)
            os.chmod(part, 0o755)
            os.rename(part, folder)
            os.mkdir(part)  # for who removes it
    return folder, commit


def equal(options):
    """Say whether the checkout, or AFTER, does what BEFORE did; words after -- go to tests/equal."""
    places = []  # of the two in the lab's root
    for which, name in (("before", options.before), ("after", options.after)):
        folder, commit = _commit(name) if name else (HERE, "the checkout")
        places.append(os.path.normpath(os.path.join("/src", os.path.relpath(folder, HERE))))
        print("%s: %s" % (which, commit), flush=True)
        # its own build.py builds it
        words = [sys.executable, os.path.join(folder, "build.py")]
        words += ["--apt-sources", options.apt_sources] if options.apt_sources else []
        words += ["--jobs", str(options.jobs)] if options.jobs else []
        for more in [["test", "host", "--", "--version"]] + ([["image"]] if "--figures" in options.rest else []):
            if subprocess.run(words + more, stdout=subprocess.DEVNULL).returncode:
                raise progress.Problem("%s does not build" % commit)
    return _run_in_lab(options, ["python3", "-m", "tests.equal"] + places + options.rest)


def explain(options):
    """Say what rules do with packets: JSON lines in, JSON lines or sentences out. Needs no tool root."""
    # the firewall's code is MicroPython's
    sys.path += [os.path.join(HERE, "tests", "stubs"), os.path.join(HERE, "port", "modules")]
    from images import explain as questions
    return questions.main(options.file, options.text)


def _in_lab_with_images(options, module, variants):
    """Build what a lab starts, and run a module of tests/xen in the lab's root."""
    for variant in variants:
        kernel.build(variant, options.apt_sources, options.jobs)
    return _run_in_lab(options, ["python3", "-m", module])


def demo(options):
    """Show what the image is for, on a real Xen: two Linux clients, a netvm, rules that change."""
    return _in_lab_with_images(options, "tests.xen.demo", ["image"])


def screens(options):
    """Draw the pictures in docs/screens/ anew, from a terminal."""
    return _run_in_lab(options, ["python3", "-m", "tests.dom0.pictures"])


def bench(options):
    """The firewall beside a Linux one on the same simulated machine, as a table."""
    kernel.build("image", options.apt_sources, options.jobs)
    words = [word for word in ("--quick", "--curves", "--features") if getattr(options, word[2:])]
    words += ["--profile", options.profile] if options.profile else []
    for option in ("compare", "beside"):
        path = getattr(options, option)
        if path:
            os.makedirs(os.path.join(HERE, "build", "bench"), exist_ok=True)
            with open(path) as earlier, open(os.path.join(HERE, "build", "bench", option + ".given.json"), "w") as copy:
                copy.write(earlier.read())  # it may lie where the tool root does not see it
            words += ["--" + option, "build/bench/%s.given.json" % option]
    return _run_in_lab(options, ["python3", "-m", "tests.bench"] + words + options.rest)


def shell(options):
    """A prompt on the lab's dom0."""
    return _in_lab_with_images(options, "tests.xen.shell", ["image", "test"])


def sim(options):
    """The simulated firewall in the foreground."""
    kernel.build("sim", options.apt_sources, options.jobs)
    binds, env = [], {}
    if options.vchan_dir:
        if not os.path.isdir(options.vchan_dir):
            raise progress.Problem("%s: no such folder: make it first" % options.vchan_dir)
        binds, env = [(options.vchan_dir, "/run/vchan")], {"VCHAN_SOCKET_DIR": "/run/vchan"}
    root, fixed, kept = _lab(options)
    return root.run(["python3", "tests/sim/foreground.py"] + options.rest, fixed + binds, "/src", dict(kept, **env)).returncode


def inside(options):
    """Run the words after -- in the lab's root, in /src; a shell when there are none."""
    return _run_in_lab(options, options.rest or ["/bin/bash"])


def write_locks(options):
    """Resolve the wanted packages against today's archive and rewrite both locks."""
    source = archive.Archive(toolroot.cache_folder(), options.apt_sources)
    build, lab = lock.read(kernel.BUILD_LOCK), lock.read(kernel.LAB_LOCK)
    date, packages = source.resolve(build.want)
    origs = [source.source(item.name, item.version) for item in build.sources]
    for before, now in zip(build.sources, origs):
        if before.sha256 != now.sha256:
            raise progress.Problem("%s %s has changed in the archive" % (now.name, now.version))
    lock.write(kernel.BUILD_LOCK, lock.Lock(archive.SUITE, date, build.want, origs, packages), [
        "What can change a byte of the image. Written by `./build.py lock`; the format is in lock.py."])
    _, both = source.resolve(build.want + lab.want)
    ours = {item.name for item in packages}
    lock.write(kernel.LAB_LOCK, lock.Lock(archive.SUITE, date, lab.want, [],
                                          [item for item in both if item.name not in ours]), [
        "What serves tests and demo beside build.lock, and cannot change the image."])


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apt-sources", metavar="FILE", type=os.path.abspath,
                        help="take Debian packages from the archive that FILE names, in apt's format, instead of "
                             "the one this machine's apt uses; a dated archive keeps packages that mirrors drop")
    parser.add_argument("--jobs", metavar="N", type=int, help="compilers to run at once (default: one a CPU)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(run, name, text, **more):
        made = commands.add_parser(name, help=text, description=text, **more)
        made.set_defaults(run=run)
        return made

    def present_system(some):
        some.add_argument("--here", action="store_true",
                          help="build with the compiler of the system we run on, where no namespace can be made, as in a "
                               "container; its packages are compared with images/build.lock")

    present_system(command(image, "image", "build build/vmlinuz; print its path, size and SHA-256"))
    some = command(release, "release", "lay out build/release/: image, archive for dom0, hashes, locks, build record")
    some.add_argument("--check", nargs="?", const="", metavar="VMLINUZ",
                      help="build from nothing and compare with the hash in images/SHA256SUMS; exit status 1 if it is "
                           "another. VMLINUZ: a published image, to see in which section and symbol it differs")
    some.add_argument("--record", action="store_true", help="(maintainers) write images/SHA256SUMS")
    some.add_argument("--sign", metavar="FINGERPRINT",
                      help="sign SHA256SUMS by gpg, with your own key of this whole fingerprint")
    present_system(some)
    some = command(verify, "verify", "whether a release is whole, and signed by the key of a published fingerprint",
                   epilog="gpg must know the key")
    some.add_argument("folder", metavar="FOLDER", help="of the release, with SHA256SUMS and SHA256SUMS.asc")
    some.add_argument("fingerprint", metavar="FILE", help="with the fingerprint: from elsewhere than the release")
    some = command(test, "test", "run all tests, or one kind; words after -- go to pytest",
                   epilog="example: ./build.py test host -- -k checksum -x")
    some.add_argument("kind", nargs="?", choices=["host", "sim", "xen"],
                      help="host: seconds; sim: simulated Xen, a minute; xen: a real Xen under QEMU, minutes")
    some.add_argument("--quick", action="store_true",
                      help="what fits into a few minutes: no test that takes long, and one boot on the real Xen")
    command(lint, "lint", "look at all Python without running it, as `test host` does too; tests/lint.py says for what",
            epilog="exceptions are marked `noqa` where they stand")
    some = command(mutate, "mutate", "plant faults in modules and say which ones no test of the host sees; words after -- go to tests/mutation",
                   epilog="example: ./build.py mutate nat flows; ./build.py mutate -- --help")
    some.add_argument("modules", nargs="*", metavar="MODULE", help="such as nat; all of them if none is named")
    some = command(equal, "equal", "compare what the checkout does with what a commit did, by random frames and events; words after -- go to tests/equal",
                   epilog="example: ./build.py equal HEAD~1; ./build.py equal HEAD~1 -- --ground host --seed 2; ./build.py equal HEAD~1 -- --help")
    some.add_argument("before", metavar="COMMIT")
    some.add_argument("after", metavar="AFTER", nargs="?", help="another commit, instead of the checkout")
    some = command(explain, "explain", "say what rule lists do with packets, by the firewall's own rule code",
                   epilog="the lines that FILE holds are described in images/explain.py")
    some.add_argument("file", metavar="FILE", help="one JSON object a line; - for standard input")
    some.add_argument("--text", action="store_true", help="answer in sentences instead of JSON")
    command(demo, "demo", "the main job on a real Xen under QEMU: clients, netvm, and a rule that cuts a stream")
    command(screens, "screens", "draw docs/screens/ anew: qubes-firewall-top in a terminal, on recorded answers")
    some = command(bench, "bench", "measure the image beside Linux with nftables as the firewall, on the counting computer; words after -- "
                   "are the bench's", epilog="example: ./build.py bench -- --jobs up,down; ./build.py bench -- --help")
    some.add_argument("--quick", action="store_true", help="the headline only, and shorter: less than 4 minutes")
    some.add_argument("--compare", metavar="EARLIER.json", help="show ours beside what an earlier run found")
    some.add_argument("--beside", metavar="LINUX.json", help="ours, with Linux's columns of an earlier run")
    some.add_argument("--features", action="store_true", help="ours with names, callers and messages, and without")
    some.add_argument("--curves", action="store_true", help="how the cost of a packet grows with flows, rules, clients and load")
    some.add_argument("--profile", metavar="ROW", help="where our instructions go, by function, in a row such as up")
    command(shell, "shell", "boot the same Xen and give a prompt on its dom0; .help there tells more")
    some = command(sim, "sim", "run the simulated firewall in the foreground; words after -- are its command line")
    some.add_argument("--vchan-dir", metavar="DIR", type=os.path.abspath, help="its vchans are Unix sockets in DIR, as Qubes' own stand-in names them")
    command(inside, "inside", "run the command after -- in the tool root, with the checkout at /src",
            epilog="example: ./build.py inside -- objdump -d build/image/vmlinuz.elf")
    command(write_locks, "lock", "(maintainers) rewrite the package locks in images/ from today's archive")
    return parser


def main():
    words = sys.argv[1:]
    rest = []
    if "--" in words:
        words, rest = words[:words.index("--")], words[words.index("--") + 1:]
    options = _parser().parse_args(words)
    options.rest = rest
    # like Ctrl-C: subprocess then ends what we started, and half-made folders go
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("build.py: terminated"))
    try:
        sys.exit(options.run(options))
    except progress.Problem as problem:
        sys.exit("build.py: %s" % problem)
    except OSError as error:
        sys.exit("build.py: %s: %s" % (error.filename or options.command, error.strerror))
    except KeyboardInterrupt:
        sys.exit("build.py: interrupted")


if __name__ == "__main__":
    main()
