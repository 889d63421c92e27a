"""Joins and queries over tables whose whole input is there at once, in the SQL of both engines.

They give what the embedded server holds after it has read the same records from the start.
"""
