"""vchan: streams of octets between this domain and another, over shared memory. transport.py is the way in."""
