"""JSON records → typed rows."""
