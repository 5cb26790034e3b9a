"""Where boot.py finds the programs of builds for tests: run=NAME on the command line runs NAME.main(store, words)."""


async def start(store, words):
    """Run the program that the command line names, if any. One that does not exist is an error: a crash."""
    if "run" in words:
        await __import__(words["run"]).main(store, words)
