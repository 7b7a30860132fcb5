"""One call, from its reservation to its result."""
