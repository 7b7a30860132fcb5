"""Chat Completions: its request, its answers and its events."""
