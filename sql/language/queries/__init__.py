"""SELECTs with every name and type resolved."""
