"""Qubes' rules: from text to a list of rules, and from that to what the judge asks."""
