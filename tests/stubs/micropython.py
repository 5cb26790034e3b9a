"""What CPython needs to import our modules: MicroPython's `micropython`, without effect.

const() is the identity, and so are the decorators that would choose machine code. Code that
relies on viper's pointer types cannot run this way; such modules have their own tests under
the project's MicroPython.
"""


def const(value):
    return value


def _same(function):
    return function


bytecode = native = viper = _same


def schedule(function, argument):
    function(argument)


def heap_lock():
    return 1


def heap_unlock():
    return 0
