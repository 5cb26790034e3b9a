"""Long work as a generator: it yields None after each step, and its result at last.

Whoever needs the result at once takes all steps in one go. A task lets the rings and the other tasks have their turn
between them.
"""
import asyncio


def at_once(steps):
    """The result, without a pause."""
    for result in steps:
        pass
    return result


async def in_turns(steps, every=1):
    """The result; after so many steps each time everybody else has a turn."""
    done = 0
    for result in steps:
        if result is None:
            done += 1
            if done % every == 0:
                await asyncio.sleep_ms(0)
    return result
