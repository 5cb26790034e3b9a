"""Plants each mutant in a process of its own, forked from one pytest that has collected the tests.

A first run of all tests, in such a process too, tells which lines each test reaches and how long it takes; for a mutant
only those tests run that reach its statement, until one fails or the mutant's time is used up. A mutant inside a
function takes that function's code; what runs when the module is imported is run again, and values that are others
then are put into their places, in the modules too that imported them.

A mutant that computes for ever is ended by the CPU time it takes, a multiple of what its tests take without it.
"""
import importlib
import os
import pickle
import resource
import sys
import time
from types import CodeType, FunctionType, ModuleType

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MEMORY = 3 << 30  # octets of address space that a mutant may take
_TIMES, _SECONDS = 8, 3  # CPU time that a test of a mutant may take: so many times its own without it, and so much more


def _tests_of(item):
    from _pytest.runner import runtestprotocol
    return lambda following: runtestprotocol(item, log=False, nextitem=following)


def _run(items, seconds):
    """Run items in this process until one fails; its nodeid, "" if none does. seconds: {nodeid: CPU time without a fault}."""
    for i, item in enumerate(items):
        following = items[i + 1] if i + 1 < len(items) else None
        limit = int(time.process_time() + _TIMES * seconds[item.nodeid] + _SECONDS) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        if any(report.failed for report in _tests_of(item)(following)):
            return item.nodeid
    return ""


def _silent():
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


class Job:
    """A forked child that works out one value; the parent reads it from a pipe."""

    def __init__(self, function, memory=None):
        self.end, inside = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(inside)
            return
        status = 1
        try:
            os.close(self.end)
            _silent()
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
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
    """Let the module be as the mutant has it. What it raises, the import of such a module would raise."""
    code = compile(mutant.tree, module.__file__, "exec")
    name = _outermost(module, mutant.function)
    if name:
        _functions(module)[name].__code__ = _codes(code)[name]
    made = {"__name__": module.__name__, "__file__": module.__file__}
    exec(code, made)
    for name, value in made.items():
        old = vars(module).get(name)
        if isinstance(value, type) and isinstance(old, type):
            for inner, member in vars(value).items():
                if not inner.startswith("__") and _differ(vars(old).get(inner), member):
                    setattr(old, inner, member)
        elif not name.startswith("__") and _differ(old, value):
            for other in list(sys.modules.values()):
                if other and vars(other).get(name) is old:
                    setattr(other, name, value)


def _differ(old, new):
    """Are these two values of a module other ones? Functions, classes and objects of the module's own are not asked.

    An object of another module's class is another by what it holds.
    """
    if type(old) is type(new) and hasattr(new, "__dict__") and not isinstance(new, (FunctionType, ModuleType, type)):
        return vars(old) != vars(new)
    return isinstance(new, (bool, int, str, bytes, tuple, list, dict, frozenset, type(None))) and old != new


class Runner:
    """A pytest plugin that, instead of running what was collected, judges mutants by it.

    modules: {path in the checkout: module name}; mutants: a list; seconds: CPU time of the tests that one is given, the
    quickest of those that reach it; said: called with each (mutant, verdict, by).
    verdict: "killed" (by: the test), "endless", "survived", or "unreached": no test runs it.
    """

    def __init__(self, modules, mutants, jobs, seconds, said):
        self.modules, self.mutants, self.jobs, self.most, self.said = modules, mutants, jobs, seconds, said
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
        """Tests for it, those that have found most, then the quickest, first. everywhere: any may see it."""
        path = os.path.join(CHECKOUT, mutant.path)
        if everywhere:
            wanted = list(self.reach)
        else:
            places = {(path, line) for line in range(mutant.lines[0], mutant.lines[1] + 1)}
            wanted = [nodeid for nodeid, lines in self.reach.items() if places & lines]
        wanted.sort(key=lambda nodeid: self.seconds[nodeid])
        left, chosen = self.most, []
        for nodeid in wanted:
            left -= self.seconds[nodeid]
            if left < 0 and chosen:
                break
            chosen.append(nodeid)
        return sorted(chosen, key=lambda nodeid: (self.seconds[nodeid] + 0.02) / (1 + self.kills.get(nodeid, 0)))

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
            job = Job(lambda: self._planted(module, mutant, chosen), _MEMORY)
            running.append((mutant, job))
        while running:
            self._finish(running)

    def _planted(self, module, mutant, chosen):
        try:
            plant(module, mutant)
        except Exception as error:
            return "import: %r" % error
        return _run([self.items[nodeid] for nodeid in chosen], self.seconds)

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
