"""Finds what a block of code leaves behind, and says where it was made."""

from agentinfra.testing.leaks.check import LeakCheck, assert_no_leaks

__all__ = ["LeakCheck", "assert_no_leaks"]
