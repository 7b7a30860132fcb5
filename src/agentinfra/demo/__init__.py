"""A small team of agents that answers questions through every part of a runtime.

A router chooses between two agents. The analytics agent writes SQL over a sales database and runs
it read-only; the knowledge agent answers from documents it has embedded. Conversations are
checkpointed, decisions and answers cached, every step counted and traced.
"""
