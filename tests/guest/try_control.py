"""control/shutdown from inside: run=try_control mode=NAME. What is asked comes from the test, through xenstore."""
import asyncio
import control


async def main(store, words):
    await globals()["mode_" + words["mode"]]()
    print("ready")


async def mode_plain():
    pass


async def mode_hooks():
    """Hooks run before the end; one that hangs and one that fails do not stop it."""

    async def good():
        print("good hook")

    async def bad():
        raise ValueError("bad hook")

    async def hanging():
        await asyncio.sleep_ms(1000000)

    control.before_end("bad", bad)
    control.before_end("good", good)
    control.before_end("hanging", hanging)
    control.before_end("late", good)
