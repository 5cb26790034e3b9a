"""What the image that ships is for. Builds for tests have tests/guest/program.py in its place."""
from firewall.main import main as start  # noqa: F401  (boot.py asks for it)
