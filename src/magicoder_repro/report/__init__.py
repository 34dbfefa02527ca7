"""Reference numbers, the comparison with them, and the page."""
