"""Endpoints and the ways to them."""
