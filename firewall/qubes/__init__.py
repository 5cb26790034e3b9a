"""What dom0 tells us: QubesDB, and the settings and rules in it."""
