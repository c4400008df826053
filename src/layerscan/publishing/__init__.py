"""Compose Apps into a registry, and what one holds."""
