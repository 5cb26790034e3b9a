"""Wire formats: what the octets of a header mean. Imports nothing of the rest of the firewall."""
