"""Structured output: values of a type out of what models answer."""
