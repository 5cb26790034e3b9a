"""What a call costs, in bytecodes of CPython: the same number on every machine, however busy it is."""
import sys

from firewall.wire.checksum import total

_EVENT = sys.monitoring.events.INSTRUCTION
_TOOL = sys.monitoring.PROFILER_ID


def bytecodes(function, *arguments):
    """(how many bytecodes the call takes, with all that it calls, what it returns). The sum over octets is C in the image."""
    count = 0
    in_c = total.__code__

    def one(code, offset):
        nonlocal count
        if code is not in_c:
            count += 1

    monitoring = sys.monitoring
    monitoring.use_tool_id(_TOOL, "counting")
    try:
        monitoring.register_callback(_TOOL, _EVENT, one)
        monitoring.set_events(_TOOL, _EVENT)
        result = function(*arguments)
        monitoring.set_events(_TOOL, 0)
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.register_callback(_TOOL, _EVENT, None)
        monitoring.free_tool_id(_TOOL)
    return count, result
