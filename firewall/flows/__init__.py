"""Flows: their records, states, index and limits, and network address translation."""
