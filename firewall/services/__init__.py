"""What others may ask of us by qrexec."""
