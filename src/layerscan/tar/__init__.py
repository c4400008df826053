"""The scanner of tar streams, and what it makes of them."""
