# What is frozen into the image, as bytecode and native code. Paths are relative to this folder.
import os

include("$(MPY_DIR)/extmod/asyncio")
freeze("modules")
freeze(os.environ["FIREWALL_GENERATED"])
_ADMINISTRATORS = ("explain.py",)  # run by build.py on the administrator's machine, not in the image
for _folder in ("netfront", "netback", "firewall"):
    if os.path.exists("../%s/__init__.py" % _folder):
        _files = [name for name in sorted(os.listdir("../" + _folder)) if name.endswith(".py")]
        package(_folder, files=[name for name in _files if name not in _ADMINISTRATORS], base_path="..")
if os.environ["FIREWALL_VARIANT"] != "image" and os.path.exists("../tests/guest"):
    freeze("../tests/guest")
