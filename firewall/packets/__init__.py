"""What is done to packets: reading, rewriting, splitting and putting together, and the packets we make ourselves."""
