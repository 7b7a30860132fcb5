"""What is sent and what comes back, one file an API."""
