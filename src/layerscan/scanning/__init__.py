"""Which images are meant, and what their layers cost."""
