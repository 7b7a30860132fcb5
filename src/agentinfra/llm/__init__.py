"""The LLM client: one call from settings to result, every step in one place."""
