"""What every package needs: errors, names and texts in SQL, types, definitions of functions."""
