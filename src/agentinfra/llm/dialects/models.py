"""What is known of OpenAI's models by their names, as of its gpt-6.2 family.

Only what a request needs is here: which API a model has, how it wants its limit named, what it
refuses. A name nobody knows has no such peculiarity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Known", "known"]

_GPT = re.compile(r"^gpt-(\d+)(?:\.(\d+))?(?:-(.*))?$")
_O = re.compile(r"^o\d+(-.*)?$")
_ONLY_RESPONSES = re.compile(
    r"codex|deep-research|computer-use|cyber|rosalind|daybreak|-law$|-pro(-\d{4}-\d{2}-\d{2})?$"
)
_FIRST_WITHOUT_CHAT_TOOLS = (5, 4)
_FIRST_REASONING = (5, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a model.

    Attributes:
        reasons: It thinks before it answers, and counts its thoughts.
        only_responses: It is on the Responses API alone.
        chat_refuses_tools: Chat Completions takes its function tools only without reasoning.
        refuses_sampling: It refuses ``temperature`` and its like whatever the effort.
    """

    reasons: bool = False
    only_responses: bool = False
    chat_refuses_tools: bool = False
    refuses_sampling: bool = False


_UNKNOWN = Known()


@lru_cache(maxsize=1024)
def known(model: str) -> Known:
    """Return what is known of a model; its maker's prefix (``openai/``) does not matter."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("ft:")
    only = bool(_ONLY_RESPONSES.search(name))
    if _O.match(name):
        return Known(reasons=True, only_responses=only, refuses_sampling=True)
    found = _GPT.match(name)
    if found is None:
        openais = only and name.startswith(("codex", "computer-use"))
        return Known(only_responses=True, reasons=True) if openais else _UNKNOWN
    version = (int(found[1]), int(found[2] or 0))
    if version < _FIRST_REASONING or "chat" in (found[3] or ""):
        return _UNKNOWN
    return Known(
        reasons=True,
        only_responses=only,
        chat_refuses_tools=version >= _FIRST_WITHOUT_CHAT_TOOLS,
        refuses_sampling=version == _FIRST_REASONING,
    )
