"""Plants each mutant in a process of its own, forked from one pytest that has collected the tests.

A first run of all tests, in such a process too, tells which lines each test reaches and how long it takes; for a mutant
only those tests run that reach its statement, until one fails. A mutant inside a function takes that function's
code; what runs when the module is imported is planted in a fresh Python, which imports it with the fault.

A mutant that computes for ever is ended by the CPU time it takes, a multiple of what its tests take without it.
"""
import ast
import importlib
import importlib.abc
import importlib.util
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from types import CodeType, FunctionType

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLANTED = "MUTANT"  # variable of the environment: a file with (path, source text) for a fresh Python
_MEMORY = 3 << 30  # octets of address space that a mutant may take
_TIMES, _SECONDS = 8, 3  # CPU time that a mutant may take: so many times its tests' own, and so much more


def _tests_of(item):
    from _pytest.runner import runtestprotocol
    return lambda following: runtestprotocol(item, log=False, nextitem=following)


def _run(items):
    """Run items in this process until one fails; its nodeid, "" if none does."""
    for i, item in enumerate(items):
        following = items[i + 1] if i + 1 < len(items) else None
        if any(report.failed for report in _tests_of(item)(following)):
            return item.nodeid
    return ""


def _silent():
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


class Job:
    """A forked child that works out one value; the parent reads it from a pipe."""

    def __init__(self, function, cpu_seconds=None):
        self.end, inside = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(inside)
            return
        status = 1
        try:
            os.close(self.end)
            _silent()
            if cpu_seconds:
                limit = int(cpu_seconds + sum(os.times()[:2]) + 1)
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            value = pickle.dumps(function())
            with os.fdopen(inside, "wb") as pipe:
                pipe.write(value)
            status = 0
        finally:
            os._exit(status)

    def value(self):
        """Waits for it; None if the child died."""
        with os.fdopen(self.end, "rb") as pipe:
            data = pipe.read()
        self.status = os.waitpid(self.pid, 0)[1]
        return pickle.loads(data) if data else None


class Lines:
    """Which lines of some files run, by sys.monitoring."""

    def __init__(self, paths):
        self.paths = set(paths)
        self.seen = set()
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "mutation")
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, self._line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)

    def _line(self, code, line):
        if code.co_filename in self.paths:
            self.seen.add((code.co_filename, line))
        return sys.monitoring.DISABLE

    def take(self):
        """What ran since last asked."""
        seen, self.seen = self.seen, set()
        sys.monitoring.restart_events()
        return seen

    def close(self):
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, 0)
        sys.monitoring.free_tool_id(sys.monitoring.COVERAGE_ID)


def _functions(module):
    """{dotted name: function} of a module and its classes."""
    found = {}
    for name, value in vars(module).items():
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            found[name] = value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for inner, member in vars(value).items():
                for function in (member, getattr(member, "fget", None), getattr(member, "__func__", None)):
                    if isinstance(function, FunctionType):
                        found[name + "." + inner] = function
    return found


def _codes(code, prefix=""):
    """{dotted name: code} of the functions of a module's code and of its classes."""
    found = {}
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found[prefix + const.co_name] = const
            if not const.co_flags & 2:  # CO_NEWLOCALS is off: a class body
                found.update(_codes(const, prefix + const.co_name + "."))
    return found


def _outermost(module, function):
    """The function of the module that `function` is, or lies in; None for the module's own code or a class body."""
    functions = _functions(module)
    words = function.split(".")
    for n in range(1, len(words) + 1):
        name = ".".join(words[:n])
        if name in functions:
            return name
    return None


def plant(module, mutant):
    """Give the function that the mutant is in its code."""
    name = _outermost(module, mutant.function)
    code = _codes(compile(mutant.tree, module.__file__, "exec"))[name]
    _functions(module)[name].__code__ = code


class Runner:
    """A pytest plugin that, instead of running what was collected, judges mutants by it.

    modules: {path in the checkout: module name}; mutants: a list; said: called with each (mutant, verdict, by).
    verdict: "killed" (by: the test), "endless", "survived", or "unreached": no test runs it.
    """

    def __init__(self, modules, mutants, jobs, said):
        self.modules, self.mutants, self.jobs, self.said = modules, mutants, jobs, said
        self.broken = []  # tests that fail without any fault
        self.kills = {}  # nodeid: how many
        self.seconds = {}  # nodeid: CPU time
        self.reach = {}  # nodeid: lines

    def pytest_configure(self, config):
        from hypothesis import Phase, settings
        settings.register_profile("mutation", deadline=None, derandomize=True, database=None,
                                  phases=(Phase.explicit, Phase.generate))  # nobody reads a smaller example
        settings.load_profile("mutation")
        self.lines = Lines(os.path.join(CHECKOUT, path) for path in self.modules)

    def pytest_runtestloop(self, session):
        self.importing = self.lines.take()
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        self.items = {item.nodeid: item for item in session.items}
        measured = Job(lambda: self._measure(session.items)).value()
        assert measured, "the first run, without faults, died"
        self.lines.close()
        for nodeid, (failed, seconds, reached) in measured.items():
            if failed:
                self.broken.append(nodeid)
            else:
                self.seconds[nodeid], self.reach[nodeid] = seconds, reached
        self._judge_all()
        return True

    def _measure(self, items):
        measured = {}
        for i, item in enumerate(items):
            began = sum(os.times()[:4])
            self.lines.take()
            reports = _tests_of(item)(items[i + 1] if i + 1 < len(items) else None)
            failed = any(report.failed for report in reports)
            measured[item.nodeid] = failed, sum(os.times()[:4]) - began, self.lines.take()
        return measured

    def _chosen(self, mutant, everywhere):
        """Tests for it, those that have found most, then the quickest, first. everywhere: all that touch the module."""
        path = os.path.join(CHECKOUT, mutant.path)
        if everywhere:
            wanted = [nodeid for nodeid, lines in self.reach.items() if any(file == path for file, _ in lines)]
        else:
            places = {(path, line) for line in range(mutant.lines[0], mutant.lines[1] + 1)}
            wanted = [nodeid for nodeid, lines in self.reach.items() if places & lines]
        return sorted(wanted, key=lambda nodeid: (self.seconds[nodeid] + 0.02) / (1 + self.kills.get(nodeid, 0)))

    def _judge_all(self):
        running = []
        for mutant in self.mutants:
            if len(running) >= self.jobs:
                self._finish(running)
            module = importlib.import_module(self.modules[mutant.path])
            places = {(module.__file__, line) for line in range(mutant.lines[0], mutant.lines[1] + 1)}
            imported = bool(places & self.importing) or _outermost(module, mutant.function) is None
            chosen = self._chosen(mutant, imported)
            if not chosen:
                self.said(mutant, "unreached", "")
                continue
            limit = _TIMES * sum(self.seconds[nodeid] for nodeid in chosen) + _SECONDS
            if imported:
                job = Job(lambda: self._fresh(mutant, chosen, limit))
            else:
                job = Job(lambda: self._planted(module, mutant, chosen), limit)
            running.append((mutant, job))
        while running:
            self._finish(running)

    def _planted(self, module, mutant, chosen):
        plant(module, mutant)
        return _run([self.items[nodeid] for nodeid in chosen])

    def _fresh(self, mutant, chosen, limit):
        """The same in a Python that imports the module with the fault."""
        path = "/tmp/mutant-%d" % os.getpid()
        with open(path, "wb") as file:
            pickle.dump((os.path.join(CHECKOUT, mutant.path), ast.unparse(mutant.tree)), file)

        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))

        words = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir=" + CHECKOUT, "-p", "tests.mutation.runner", "-x", "-q"]
        done = subprocess.run(words + chosen, env=dict(os.environ, **{PLANTED: path}), cwd=CHECKOUT, preexec_fn=limits,
                              stdout=subprocess.PIPE, text=True)
        os.unlink(path)
        if done.returncode < 0:
            os.kill(os.getpid(), signal.SIGXCPU)
        failed = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return "" if done.returncode == 0 else (failed or ["import"])[0]

    def _finish(self, running):
        """Wait for the one that was started first, or any that has ended before it."""
        while True:
            for i, (mutant, job) in enumerate(running):
                if os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    del running[i]
                    killer = job.value()
                    if killer is None:
                        self.said(mutant, "endless", "")
                    elif killer:
                        self.kills[killer] = self.kills.get(killer, 0) + 1
                        self.said(mutant, "killed", killer)
                    else:
                        self.said(mutant, "survived", "")
                    return
            time.sleep(0.005)


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text that is not its file's."""

    def __init__(self, path, text):
        self.path, self.text = path, text

    def find_spec(self, name, path=None, target=None):
        for each in sys.meta_path:
            if each is not self and hasattr(each, "find_spec"):
                spec = each.find_spec(name, path, target)
                if spec and spec.origin == self.path:
                    return importlib.util.spec_from_file_location(name, self.path, loader=self)
                if spec:
                    return None
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self.text, self.path, "exec"), vars(module))


def pytest_configure(config):
    """This file as a plugin of a fresh pytest, see Runner._fresh."""
    if os.environ.get(PLANTED):
        with open(os.environ[PLANTED], "rb") as file:
            sys.meta_path.insert(0, _Planter(*pickle.load(file)))
