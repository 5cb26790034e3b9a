"""Does another commit do the same? See __main__.py."""
