"""Lines of logs, and where they go."""
