"""The walk over folders, and file tables."""
