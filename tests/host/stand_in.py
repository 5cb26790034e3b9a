"""Modules of the port that import `xen`, under CPython: with as much of it as they need."""
import contextlib
import importlib
import sys
import types


class Hypervisor(types.ModuleType):
    """What all of them need of the module xen; a test adds the rest."""

    def __init__(self):
        super().__init__("xen")

    def view(self, page, code):
        return memoryview(page).cast(code)

    def mb(self):
        pass


@contextlib.contextmanager
def imported(name, hypervisor):
    """The module of this name, which finds the hypervisor as xen; what was there before is there again afterwards."""
    before = {each: sys.modules.pop(each, None) for each in ("xen", name)}
    sys.modules["xen"] = hypervisor
    yield importlib.import_module(name)
    for each, module in before.items():
        sys.modules.pop(each, None)
        if module:
            sys.modules[each] = module
