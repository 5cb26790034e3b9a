"""Each forbidden act ends the domain as crashed, with its cause and the Python line on the console.

The acts are in tests/guest/crimes.py and port/test/crimes.c.
"""
import re

import pytest

# act: (what the console names as the cause, the Python function in whose line it happened)
CRIMES = {
    "read_null": (r"page fault", "read_null"),
    "write_text": (r"page fault", "write_text"),
    "write_rodata": (r"page fault", "write_rodata"),
    "run_data": (r"page fault", "run_data"),
    "run_heap": (r"page fault", "run_heap"),
    "run_pages": (r"page fault", "run_pages"),
    "overflow_c_stack": (r"stack", "overflow_c_stack"),
    "overflow_python_stack": (r"RuntimeError", "deeper"),
    "viper_division": (r"divi", "viper_division"),
    "viper_null": (r"page fault", "viper_null"),
    "exception_in_task": (r"ValueError: nobody catches this", "exception_in_task"),
    "exception_in_service": (r"ValueError: nobody catches this either", "service"),
    "heap_in_service": (r"MemoryError", "service"),
    "failed_assert": (r"AssertionError: an invariant", "failed_assert"),
    "crash": (r"on purpose", "crash"),
}


@pytest.mark.parametrize("act", CRIMES)
def test_crime(lab, guest, act):
    """Boots: tests/guest/crimes.py with crime=ACT."""
    cause, function = CRIMES[act]
    criminal = guest("crimes", "crime=" + act)
    assert criminal.wait_for_end(60) == "crash"
    criminal.wait_for(", in %s" % function, 60)  # xenconsoled may have to read the last lines still
    said = criminal.console().partition("crime: %s\n" % act)[2]
    assert re.search("^crash: .*" + cause, said, re.MULTILINE), criminal.console()
    assert re.search(r'File "[\w/.]+", line \d+, in %s\b' % function, said), criminal.console()
