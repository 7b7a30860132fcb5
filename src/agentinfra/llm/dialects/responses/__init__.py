"""The Responses API: its request, its answers and its events."""
