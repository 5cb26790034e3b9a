# What is frozen into the image, as bytecode and native code. Paths are relative to this folder.
import os

include("$(MPY_DIR)/extmod/asyncio")
freeze("modules")
freeze(os.environ["FIREWALL_GENERATED"])
for _folder in ("netfront", "netback", "firewall"):
    if os.path.exists("../%s/__init__.py" % _folder):
        package(_folder, base_path="..")
if os.environ["FIREWALL_VARIANT"] == "sim":
    freeze("sim")
if os.environ["FIREWALL_VARIANT"] != "image" and os.path.exists("../tests/guest"):
    freeze("../tests/guest")
