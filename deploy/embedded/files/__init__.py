"""Archive files: finds them, registers their segments, and reads their lines."""
