"""What every package stands on: errors, names and texts in SQL, types, definitions of functions."""
