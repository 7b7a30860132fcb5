"""Chooses among named options by what is said about each: enum values, agents, tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agentinfra.demo.standin.words import concepts
from agentinfra.testing.answers.words import content_stems, name_stems

__all__ = ["choose_option", "describe_options", "fallback_option", "overlap"]

_CONCEPT_WEIGHT = 1.5
_NAME_WEIGHT = 2.0
_OWN_WORD = 2.0
_OFF_TOPIC = 1.0
_FALLBACK = re.compile(
    r"\b(?:otherwise|anything else|everything else|all other|fallback|default|none of)\b",
    re.IGNORECASE,
)


def overlap(question: str, description: str) -> float:
    """Return how far a question fits a description.

    Shared roots count 1 each, a shared kind of thing (quantities, documents, small talk) 1.5.
    """
    shared = set(content_stems(question)) & set(content_stems(description))
    return len(shared) + _CONCEPT_WEIGHT * len(concepts(question) & concepts(description))


def choose_option(question: str, options: Mapping[str, str], default: str | None = None) -> str:
    """Return the option whose name and description fit a question best.

    Args:
        question: What is asked.
        options: Each option's name and what is said about it.
        default: The choice when nothing fits; None: see `fallback_option`.
    """
    asked = set(content_stems(question))
    words = {
        name: asked & {*content_stems(text), *name_stems(name)} for name, text in options.items()
    }
    scores = {name: _fit(question, name, options[name], words) for name in options}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] > 0:
        return best
    if default is not None:
        return default
    return fallback_option(question, options)


def _fit(question: str, name: str, text: str, words: Mapping[str, set[str]]) -> float:
    """Return how far an option fits: words that no other option has say most.

    An option about quantities is not for a question that names none, unless the words say so.
    """
    others = set().union(*(shared for other, shared in words.items() if other != name))
    score = sum(1.0 if word in others else _OWN_WORD for word in words[name])
    score += _NAME_WEIGHT * len(words[name] & set(name_stems(name)))
    asked, told = concepts(question), concepts(text)
    score += _CONCEPT_WEIGHT * len(asked & told)
    return score - (_OFF_TOPIC if score and "quantity" in told - asked else 0.0)


def fallback_option(question: str, options: Mapping[str, str]) -> str:
    """Return the option for a question that fits none.

    The one described as the fallback ("anything else"); else the first that is not about
    quantities, because a question about quantities says so; else the first.
    """
    for name, text in options.items():
        if _FALLBACK.search(text):
            return name
    quantity = "quantity" in concepts(question)
    fitting = (name for name, text in options.items() if quantity or not _is_quantity(text))
    return next(fitting, next(iter(options)))


def _is_quantity(text: str) -> bool:
    return "quantity" in concepts(text)


def describe_options(names: Sequence[str], *texts: str) -> dict[str, str]:
    """Return what the first text that explains the names says about each.

    A name's part goes from where it is mentioned (at the start of a line, in quotes, or followed
    by a colon, dash, "for" or "if") to where the next name is.
    """
    for text in texts:
        places = _mentions(names, text)
        if len(places) > 1:
            ends = [start for start, _, _ in places[1:]] + [len(text)]
            parts = {
                name: text[begin:end].strip(" \n\t:;,.-\u2013\u2014=\"'`()|")
                for (_, begin, name), end in zip(places, ends, strict=True)
            }
            if any(parts.values()):
                return {name: parts.get(name, "") for name in names}
    return dict.fromkeys(names, "")


def _mentions(names: Sequence[str], text: str) -> list[tuple[int, int, str]]:
    """Return start, end and name of the mention that opens each name's explanation."""
    found: list[tuple[int, int, str]] = []
    for name in names:
        word = rf"[\"'`*]*(?<!\w){re.escape(name)}(?!\w)[\"'`*]*"
        introduced = (
            rf"{word}\s*(?:[:=(\u2013\u2014-]|→|->|\bfor\b|\bif\b|\bwhen\b|\banswers\b|\bhandles\b)"
        )
        match = re.search(introduced, text, re.IGNORECASE) or re.search(word, text, re.IGNORECASE)
        if match:
            found.append((match.start(), match.end(), name))
    return sorted(found)
