"""Where a model thinks aloud, in the marks of the families that do so in their text."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["THINKING", "end_of", "is_end"]

_NAMES: Final = (
    r"(?:think|thinking|thoughts?|reasoning|scratch_?pad|reflection|inner_monologue"
    r"|(?:ant|seed:|internal_)_?(?:think|thinking|thoughts?))"
)
_MARKS: Final = (
    # beginning, end
    (rf"<(?!/){_NAMES}\s*>", rf"</{_NAMES}\s*>"),
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|channel>thought", r"<channel\|>"),  # Gemma
    # Harmony (gpt-oss): the final channel is the answer, the analysis is not.
    (r"<\|channel\|>\s*analysis\b", r"<\|channel\|>\s*final\b[^<]*<\|message\|>"),
)
_ENDS: Final = tuple(re.compile(end, re.IGNORECASE) for _, end in _MARKS)
_BEGINNINGS: Final = tuple(re.compile(begin, re.IGNORECASE) for begin, _ in _MARKS)
_OVER: Final = re.compile(r"<\|(?:end|start|call|return)\|>|<\|channel\|>", re.IGNORECASE)
"""Where a channel of Harmony is over without the final one."""

THINKING: Final = "|".join(f"{begin}|{end}" for begin, end in _MARKS)
"""Matches where thinking begins or ends; for patterns that ignore case."""


def is_end(mark: str) -> bool:
    """Whether a mark ends thinking, whose beginning may not have been sent."""
    return any(end.fullmatch(mark) for end in _ENDS)


def end_of(mark: str, text: str, start: int) -> int | None:
    """Return where the thinking ends that begins with a mark; None where it does not end.

    Args:
        mark: What it begins with.
        text: The text.
        start: Where to look from.
    """
    kind = next(place for place, begin in enumerate(_BEGINNINGS) if begin.fullmatch(mark))
    if closed := _ENDS[kind].search(text, start):
        return closed.end()
    if kind == len(_MARKS) - 1 and (over := _OVER.search(text, start)):
        return over.start()
    return None
