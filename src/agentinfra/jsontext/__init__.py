"""JSON out of what models write."""
