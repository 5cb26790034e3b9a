"""What builds for tests are for: run=NAME on the command line runs NAME.main(store, words), else it is the firewall.

In the image that ships port/image/program.py is in this one's place.
"""


async def start(store, words):
    """Run the program that the command line names. One that does not exist is an error: a crash."""
    if "run" in words:
        main = __import__(words["run"]).main
    else:
        from firewall.main import main
    await main(store, words)
