"""Mechanisms without a vendor: clocks, deadlines, lifetimes, closing, single flight."""
