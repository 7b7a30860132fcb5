"""An answer, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = ["Pair", "SemanticAnswer", "SemanticHit"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticHit:
    """Whose answer was given.

    Attributes:
        question: The question the answer was made for.
        similarity: How similar it is to what was asked; 1 is the same.
        score: How much spoke for the answer, its neighbours considered.
    """

    question: str
    similarity: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticAnswer(Generic[T]):
    """An answer that says where it came from.

    Attributes:
        value: The answer.
        source: ``exact`` for the same question's own answer, ``semantic`` for that of another
            one, ``computed`` where the loader ran, for this caller or another at the same time.
        hit: Whose answer it is where it is a semantic one.
    """

    value: T
    source: Literal["exact", "semantic", "computed"]
    hit: SemanticHit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a judge is asked: whether the known answer would have done for the question.

    Attributes:
        question: What was asked.
        answer: What was loaded for it.
        known_question: The question of the semantic cache.
        known_answer: Its answer, which would have been given, or was.
    """

    question: str
    answer: object
    known_question: str
    known_answer: object
