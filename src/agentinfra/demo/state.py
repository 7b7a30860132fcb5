"""What the team knows while it works on a question, as it stands in the checkpoints."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict

__all__ = ["AGENTS", "RECENT", "Agent", "State", "Step", "Turn", "Update", "asked", "history"]

Agent: TypeAlias = Literal["analytics", "knowledge"]

Step: TypeAlias = Literal[
    "route", "recall", "plan", "query", "explain", "retrieve", "quote", "hand_over", "remember"
]
"""The nodes a node can go on with; the names are those of the graph."""

AGENTS: Final[tuple[Agent, ...]] = ("analytics", "knowledge")

RECENT: Final = 6
"""Turns of a conversation a model is shown; older ones stay in the checkpoints."""


class Turn(TypedDict):
    """A question of a conversation and its answer."""

    question: str
    answer: str


class State(TypedDict):
    """The graph's state; everything but ``turns`` is about the question at hand.

    Attributes:
        question: As it was asked.
        turns: The conversation before it.
        standalone: The question as it can be understood without the conversation.
        agent: Who answers now.
        tried: The agents that were asked to.
        next: The node to go on with.
        sql: The statement, empty where there is none.
        problem: Why the database refused it, empty where it did not.
        attempts: Statements written so far.
        columns: The result's columns.
        rows: The result's rows, of JSON values.
        truncated: Whether there are more rows.
        passages: What was found in the documents: source and text.
        answer: The answer, or why there is none.
        answered: Whether it is one.
        sources: The passages it quotes, as ``path#heading``.
        cache: What each cache said: ``hit`` or ``miss``.
        degraded: In what the answer is less than it should be.
    """

    question: str
    turns: Annotated[list[Turn], operator.add]
    standalone: str
    agent: Agent
    tried: list[Agent]
    next: Step
    sql: str
    problem: str
    attempts: int
    columns: list[str]
    rows: list[dict[str, Any]]
    truncated: bool
    passages: list[dict[str, str]]
    answer: str
    answered: bool
    sources: list[str]
    cache: dict[str, str]
    degraded: list[str]


Update: TypeAlias = dict[str, Any]
"""What a node changes of the state."""


def asked(question: str) -> Update:
    """Return the input for a question: nothing of the one before is left."""
    return {
        "question": question,
        "standalone": question,
        "next": "route",
        "tried": [],
        "sql": "",
        "problem": "",
        "attempts": 0,
        "columns": [],
        "rows": [],
        "truncated": False,
        "passages": [],
        "answer": "",
        "answered": True,
        "sources": [],
        "cache": {},
        "degraded": [],
    }


def history(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the end of a conversation as messages."""
    messages = []
    for turn in turns[-RECENT:]:
        messages.append({"role": "user", "content": turn["question"]})
        messages.append({"role": "assistant", "content": turn["answer"]})
    return messages
