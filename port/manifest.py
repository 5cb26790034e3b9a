# What is frozen into the image, as bytecode and native code. Paths are relative to this folder.
import os


def _sources(folder):
    # named in order: MicroPython's own search takes files as the file system lists them, and freezes them so
    return sorted(
        os.path.relpath(os.path.join(path, name), folder)
        for path, _, names in os.walk(folder)
        for name in names
        if name.endswith(".py")
    )


include("$(MPY_DIR)/extmod/asyncio")
freeze("modules", _sources("modules"))
freeze(os.environ["FIREWALL_GENERATED"], "_build.py")
for _folder in ("netfront", "netback", "firewall"):
    if os.path.exists("../%s/__init__.py" % _folder):
        package(_folder, _sources("../" + _folder), base_path="..")
if os.environ["FIREWALL_VARIANT"] == "image":
    freeze("image", _sources("image"))
else:
    freeze("../tests/guest", _sources("../tests/guest"))
if os.environ["FIREWALL_VARIANT"] == "sim":
    freeze("sim", _sources("sim"))
