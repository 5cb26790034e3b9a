"""Machine code for the packets that need no decision; see README.md."""
