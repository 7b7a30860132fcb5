"""A chat request as the answerer reads it: the question, what came before, what it may use.

The question is the last user message. Inside it, a ``Question:`` label or a ``<question>`` tag
says which part is the question; without one it is what is left when documents and results are
taken out. A short follow-up ("and in 2024?", "what about Germany?", "how long does it take?")
builds on the user question before it: its chain holds both, oldest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentinfra.demo.standin.passages import Passage, split_context
from agentinfra.demo.standin.words import sentences
from agentinfra.testing.answers.words import tokens, word_set
from agentinfra.testing.replies import text_of

__all__ = ["Conversation", "ToolResult", "read_conversation"]

_LONG = 240
_ASKED = re.compile(
    r"<(?P<tag>question|query|user_question|user_query)>(?P<tagged>.*?)</(?P=tag)>"
    r"|^[ \t]*(?:#+[ \t]*|\*\*)?(?:(?:user(?:'s)?|current|new|final) )?"
    r"(?:question|query|request|message)(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*"
    r"(?P<labelled>\S.*?)(?=\n[ \t]*\n|\n[ \t]*(?:#+[ \t]*|\*\*)?[A-Z][\w ]{0,30}:|\Z)",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)
_RESULT = re.compile(
    r"^[ \t]*(?:#+[ \t]*|\*\*)?(?:(?:sql|query|tool|database) )?"
    r"(?:rows?|results?|output|data)(?: \([^)\n]*\))?(?:\*\*)?[ \t]*:(?:\*\*)?\s*"
    r"(?P<content>[\[{].*?)(?=\n[ \t]*\n|\Z)",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)
_OPENING = re.compile(
    r"(?:and|but|or|also|only|just|instead|then|now|same|what about|how about)\b", re.IGNORECASE
)
_FRAGMENT = re.compile(r"(?:in|by|per|for|from|since|before|after|during)\b", re.IGNORECASE)
_POINTING = word_set("it its they them those these he she him her his their one ones")
_FOLLOW_UP_WORDS = 9
_FRAGMENT_WORDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool answered: its name (empty when unknown) and the text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A chat request, read.

    Attributes:
        question: What the user asks now.
        chain: The questions this one builds on, oldest first, itself last.
        earlier: The user's earlier messages, oldest first.
        passages: The documents in the prompt.
        results: What tools answered since the last user message, and results quoted in it.
        instructions: The rest of the system and user messages.
        messages: The messages themselves.
    """

    question: str
    chain: tuple[str, ...]
    earlier: tuple[str, ...]
    passages: tuple[Passage, ...]
    results: tuple[ToolResult, ...]
    instructions: str
    messages: Sequence[Mapping[str, Any]]

    @property
    def everything(self) -> str:
        """What everybody but the assistant says, for what may stand anywhere (a schema)."""
        return "\n".join(text_of(m) for m in self.messages if m.get("role") != "assistant")

    @property
    def full_question(self) -> str:
        """The question with those it builds on."""
        return " ".join(self.chain)


def read_conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Read a chat request's messages."""
    last = _last_question(messages)
    spoken = [text_of(m) for m in messages[:last] if m.get("role") == "user"]
    earlier = tuple(_split_question(text)[0] for text in spoken)
    question, rest, quoted = _read_user(text_of(messages[last]))
    found, left = split_context(rest)
    passages, instructions = list(found), [left]
    for message in messages:
        if message.get("role") in ("system", "developer"):
            more, plain = split_context(text_of(message))
            passages.extend(more)
            instructions.append(plain)
    if not question:
        question = left or rest
    elif left and not passages and not quoted and _is_prose(left, question):
        passages.append(Passage(text=left))
    return Conversation(
        question=question,
        chain=_chain((*earlier, question)),
        earlier=earlier,
        passages=tuple(passages),
        results=(*quoted, *_tool_results(messages[last + 1 :], messages)),
        instructions="\n".join(part for part in instructions if part != question),
        messages=messages,
    )


def _last_question(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the place of the last user message, of the last message where there is none."""
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].get("role") == "user":
            return place
    return len(messages) - 1


def _read_user(text: str) -> tuple[str, str, tuple[ToolResult, ...]]:
    """Return a user message's question, the rest, and the results quoted in it."""
    if len(text) < _LONG and "\n" not in text and ":" not in text and "<" not in text:
        return text.strip(), "", ()
    quoted = tuple(ToolResult(name="", text=m["content"].strip()) for m in _RESULT.finditer(text))
    if quoted:
        text = _RESULT.sub("\n", text)
    question, rest = _split_question(text)
    return question, rest, quoted


def _split_question(text: str) -> tuple[str, str]:
    """Return the question in a user message and the text around it."""
    found = list(_ASKED.finditer(text))
    if found:
        marked = found[-1]
        asked = (marked["tagged"] or marked["labelled"]).strip()
        return asked, f"{text[: marked.start()]}\n{text[marked.end() :]}".strip()
    passages, left = split_context(text)
    if passages and left:
        return _last_sentence(left), text.replace(_last_sentence(left), "", 1)
    if passages:
        return _trailing_question(text)
    if len(text) > _LONG and "?" in text:
        asked = [line for line in sentences(text) if line.endswith("?")]
        if asked:
            return asked[-1], text.replace(asked[-1], "", 1)
    return text.strip(), ""


def _last_sentence(text: str) -> str:
    lines = sentences(text)
    asked = [line for line in lines if line.endswith("?")]
    return (asked or lines)[-1]


def _trailing_question(text: str) -> tuple[str, str]:
    """Return the question that stands after documents, in a paragraph or line of its own."""
    lines = sentences(text)
    if lines and lines[-1].endswith("?"):
        return lines[-1], text[: text.rindex(lines[-1])]
    before, _, after = text.rstrip().rpartition("\n\n")
    return (after.strip(), before) if before else ("", text)


def _is_prose(text: str, question: str) -> bool:
    return bool(question) and "create table" not in text.lower() and len(tokens(text)) > 3


def _chain(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the last question after the ones it builds on."""
    start = len(asked) - 1
    while start > 0 and _follows_up(asked[start]):
        start -= 1
    return tuple(asked[start:])


def _follows_up(question: str) -> bool:
    words = tokens(question)
    if len(words) > _FOLLOW_UP_WORDS:
        return False
    if len(words) <= _FRAGMENT_WORDS and _FRAGMENT.match(question.strip()):
        return True
    return bool(_OPENING.match(question.strip())) or not _POINTING.isdisjoint(words)


def _tool_results(
    after: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]
) -> Iterator[ToolResult]:
    if not after:
        return
    names = {
        call.get("id"): (call.get("function") or {}).get("name", "")
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    for message in after:
        if message.get("role") in ("tool", "function"):
            name = message.get("name") or names.get(message.get("tool_call_id"), "")
            yield ToolResult(name=name, text=text_of(message))
