"""Joins and queries over tables whose whole input is available at once, in the SQL of both engines.

Their results equal those of the embedded server after it has read the same records from the start.
"""
