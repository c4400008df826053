"""What image stores keep around layers, as arithmetic."""
