"""How long an answer of a model can get and how many tokens a picture has: upper bounds by name.

From the makers' pages of models (developers.openai.com/api/docs/models, docs.claude.com, "Models
overview", ai.google.dev/gemini-api/docs/models, api-docs.deepseek.com) and of pictures
(developers.openai.com/api/docs/guides/images-vision, "Calculating costs"; docs.claude.com,
"Vision"; ai.google.dev, "Understand and count tokens"), as of November 2026. A model that is in no
table can write as much as its context holds.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["OUTPUT_TOKENS", "largest_answer", "largest_prompt", "picture_tokens"]

OUTPUT_TOKENS = 128_000
"""Tokens of the longest answer of a model that nobody knows: as OpenAI's have it."""

_WINDOW = 1_050_000
"""Tokens that fit into the largest of OpenAI's models, for one that nobody knows."""

_WELL_KNOWN = re.compile(r"gpt|o\d|chatgpt|codex|computer-use|gemini")
"""Models whose published window holds. Claude's grows with a header, others' with their server."""

_ANSWERS: tuple[tuple[str, int], ...] = (
    (r"gpt-5-pro", 272_000),
    (r"gpt-[5-9][.\d]*-chat|gpt-chat|chat-latest", 16_384),
    (r"gpt-oss", 131_072),
    (r"gpt-[5-9]|gpt-rosalind|gpt-daybreak", 128_000),
    (r"codex-mini", 100_000),
    (r"gpt-4\.1", 32_768),
    (r"gpt-4o-2024-05-13", 4_096),
    (r"gpt-4o-64k", 64_000),
    (r"chatgpt-4o|gpt-4o|gpt-4\.5|gpt-audio", 16_384),
    (r"gpt-4-turbo|gpt-4-1106|gpt-4-0125|gpt-4-vision", 4_096),
    (r"gpt-4-32k", 32_768),
    (r"gpt-4", 8_192),
    (r"gpt-3\.5-turbo-(16k|instruct)", 16_385),
    (r"gpt-3\.5", 4_096),
    (r"o1-preview", 32_768),
    (r"o1-mini", 65_536),
    (r"o\d", 100_000),
    (r"computer-use", 8_192),
    (r"claude-3-(opus|sonnet|haiku)", 4_096),
    (r"claude-3[.-]5", 8_192),
    (r"claude", 128_000),
    (r"gemini-(1|2\.0)", 8_192),
    (r"gemini", 65_536),
    (r"text-embedding|embedding|embed", 0),
)

_PICTURES: tuple[tuple[str, int, int], ...] = (
    # Tiles of 512 pixels, eight of them at most, and a base: the mini model counts them dearer.
    (r"gpt-4o-mini", 48_169, 2_833),
    (r"chatgpt-4o|gpt-4o|gpt-4\.5|gpt-4-|gpt-4$|gpt-4\.1(?!-(mini|nano))|gpt-audio", 1_445, 85),
    (r"o1|o3", 1_275, 75),
    (r"computer-use", 1_097, 65),
    # Patches of 32 pixels times a factor of up to 2.46: 1,536, or 10,000 at their own size.
    (r"gpt-4\.1-(mini|nano)|o4-mini|gpt-5-(mini|nano)", 3_779, 3_779),
    (r"gpt-5(\.1)?($|-)", 3_779, 3_779),
    (r"gpt-[5-9]", 24_600, 24_600),
    (r"claude", 5_000, 5_000),
    (r"gemini", 5_000, 5_000),
    (r"grok", 2_000, 2_000),
)

_ANY_PICTURE = 50_000
"""A picture's tokens where nobody knows better: more than any of the above."""


@lru_cache(maxsize=1024)
def largest_answer(model: str) -> int | None:
    """Return how many tokens an answer has at most; None where nobody knows."""
    name = _plain(model)
    return next((most for start, most in _ANSWERS if re.match(start, name)), None)


@lru_cache(maxsize=1024)
def picture_tokens(model: str, *, low: bool) -> int:
    """Return how many tokens a picture has at most.

    Args:
        model: The model.
        low: Whether it is asked to look at it in low detail.
    """
    name = _plain(model)
    for start, high_detail, low_detail in _PICTURES:
        if re.match(start, name):
            return low_detail if low else high_detail
    return _ANY_PICTURE


def largest_prompt(model: str, window: int | None, *, at_least: int = 0) -> int:
    """Return how many tokens a prompt has at most, whatever is in it.

    Args:
        model: The model.
        window: What is published of its context.
        at_least: What is known to be in it.
    """
    if window is None or not _WELL_KNOWN.match(_plain(model)):
        return max(_WINDOW, window or 0, at_least)
    return window + window // 10  # makers round


def _plain(model: str) -> str:
    return model.rpartition("/")[2].lower().removeprefix("ft:")
