"""What README.md shows, for the tests that hold it to that."""
import os
import re

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "README.md")


def explained():
    """(the file, the answer) of the example of `explain`."""
    with open(PATH, encoding="utf-8") as text:
        section = text.read().partition("`explain` reads questions")[2]
    return re.search(r"```\n(.*?)```\n.*?explain questions.jsonl --text.*?```\n(.*?)```", section, re.DOTALL).groups()
