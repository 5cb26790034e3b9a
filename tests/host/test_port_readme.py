"""The function table of the module `xen` in port/README.md is the one in port/modxen.c."""

import re
from pathlib import Path

PORT = Path(__file__).parents[2] / "port"


def test_readme_lists_every_function_of_the_module_xen():
    source = (PORT / "modxen.c").read_text()
    table = source[source.index("xen_globals_table") :]
    in_c = re.findall(r"FUNCTION\((\w+)\)[,\s]", table)
    section = (PORT / "README.md").read_text().split("## The module `xen`")[1].split("## Limits")[0]
    in_readme = re.findall(r"^\| `(\w+)\(", section, re.MULTILINE)
    assert in_c and in_readme == in_c
