"""Answers in words: from results, from documents, from the history, or an echo."""

from __future__ import annotations

import re

from agentinfra.demo.standin.conversation import Conversation
from agentinfra.demo.standin.language import ENGLISH_ONLY, is_foreign
from agentinfra.demo.standin.passages import Passage, best_passages, quote
from agentinfra.demo.standin.results import state_results
from agentinfra.demo.standin.words import sentences
from agentinfra.testing.answers.words import content_stems

__all__ = ["answer_in_text"]

_ABOUT_HISTORY = re.compile(
    r"\bwhat (?:did|was|were|have|had) (?:i|my|the|we)\b.{0,40}"
    r"\b(?:ask|asked|say|said|question|questions|before|previously|earlier|last|previous)\b"
    r"|\b(?:my|the) (?:last|previous|first) question\b",
    re.IGNORECASE,
)
_FIRST = re.compile(r"\bfirst\b", re.IGNORECASE)
_INTERROGATIVE = re.compile(r"(?:what|who|where|when|which|how|do|did|is|are|can)\b", re.IGNORECASE)


def answer_in_text(talk: Conversation) -> str:
    """Return the answer to a conversation, in this order of preference.

    A question in another language than English is told so. Else:

    1. "What did I ask before?" is answered from the history.
    2. Results of tools, or results quoted in the question, are stated.
    3. Of documents in the prompt the sentences nearest to the question are quoted, with their
       source markers.
    4. A question about something the user said earlier gets that sentence back.
    5. Anything else is echoed: ``You said: ...``.
    """
    if is_foreign(talk.question):
        return ENGLISH_ONLY
    if _ABOUT_HISTORY.search(talk.question):
        return _from_history(talk)
    if talk.results:
        return state_results(talk.full_question, talk.results)
    if talk.passages:
        return quote(best_passages(talk.full_question, talk.passages))
    return _remembered(talk) or f"You said: {talk.question}"


def _from_history(talk: Conversation) -> str:
    if not talk.earlier:
        return "You have not asked anything before this."
    place = 0 if _FIRST.search(talk.question) else -1
    return f"Before this you asked: {talk.earlier[place]}"


def _remembered(talk: Conversation) -> str | None:
    """Return what the user said earlier about a question, None where nothing fits."""
    if not talk.earlier or not _INTERROGATIVE.match(talk.question):
        return None
    said = [
        Passage(text=line)
        for text in talk.earlier
        for line in sentences(text)
        if not line.endswith("?") and set(content_stems(line)) & set(content_stems(talk.question))
    ]
    return f"You told me: {said[-1].text}" if said else None
