"""What images take that nobody has unpacked."""
