"""Ends the domain at its first line: what the CPU has done until here is the price of starting Python."""
import xen


async def main(store, words):
    xen.shutdown(xen.POWEROFF)
