"""Requests that OpenAI refuses are refused, in its words."""
