"""Structured output: the best way a model knows, arguments that fit, and a second chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from agentinfra._types import Messages
from agentinfra.errors import (
    BadRequestError,
    ConfigurationError,
    ContentFilterError,
    ContextLengthError,
    JSONExtractionError,
    StructuredOutputError,
)
from agentinfra.jsontext.extract import extract
from agentinfra.llm.dialects.encoding import encode
from agentinfra.llm.structured.tools import tool_of
from agentinfra.observability.logging import get_logger
from agentinfra.results import ToolCall

if TYPE_CHECKING:
    from agentinfra.llm.structured.tools import Tool
    from agentinfra.results import LLMResponse

__all__ = ["ChatCall", "Mode", "StructuredCalls"]

log = get_logger("agentinfra.llm")

Mode: TypeAlias = Literal["tools", "json_schema", "json_object", "text"]

MODES: tuple[Mode, ...] = ("tools", "json_schema", "json_object", "text")
"""From the most to the least a server can be asked for."""


class ChatCall(Protocol):
    """Makes a chat call and returns its whole answer."""

    async def __call__(self, messages: Messages, **options: Any) -> LLMResponse:
        """Ask a model for the next message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What one structured call asks for."""

    tools: tuple[Tool, ...]
    choice: Any

    @property
    def forced(self) -> bool:
        """Whether a tool has to be called."""
        return self.choice not in ("auto", "none")

    def named(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)


class StructuredCalls:
    """Makes calls whose answer has to fit a schema.

    Remembers for each model which mode its server takes.

    Args:
        chat: Makes the calls.
        default_model: The model of calls that name none.
        misfit: Told of output that fits no schema in the end.
    """

    def __init__(self, chat: ChatCall, *, default_model: str, misfit: Callable[[], None]) -> None:
        self._chat = chat
        self._default = default_model
        self._misfit = misfit
        self._works: dict[str, Mode] = {}
        # Writing the schema of a model costs more than the rest of a call.
        self._written = lru_cache(maxsize=256)(tool_of)

    def tool(self, given: Any) -> Tool:
        """Return the definition of a tool; see `tool_of`."""
        return self._written(given) if isinstance(given, type | FunctionType) else tool_of(given)

    async def call(
        self,
        messages: Messages,
        tools: tuple[Tool, ...],
        *,
        choice: Any,
        rounds: int,
        options: Mapping[str, Any],
    ) -> LLMResponse:
        """Return a response whose tool calls fit their schemas."""
        wanted = _Wanted(tools=tools, choice=_choice(tools, choice))
        model = str(options.get("model") or self._default)
        mode = self._works.get(model, "tools")
        while True:
            try:
                reply = await self._with_repair(messages, wanted, mode, rounds, options)
            except (ContextLengthError, ContentFilterError):
                raise
            except BadRequestError as error:
                following = _next(mode)
                if following is None or not _is_about(mode, error):
                    raise
                self._fell(model, mode, following, error)
                mode = following
                continue
            if mode == "tools" and wanted.forced and not reply.tool_calls:
                # The server took the tools and ignored them.
                self._fell(model, mode, "json_schema", "no tool was called")
                mode = "json_schema"
                continue
            self._works[model] = mode
            return reply

    async def _with_repair(
        self,
        messages: Messages,
        wanted: _Wanted,
        mode: Mode,
        rounds: int,
        options: Mapping[str, Any],
    ) -> LLMResponse:
        conversation = list(messages)
        for left in range(rounds, -1, -1):
            asked = await self._chat(**_request(conversation, wanted, mode, options))
            if mode == "tools" and not asked.tool_calls:
                return asked
            try:
                return _fitting(asked, wanted, mode)
            except JSONExtractionError as error:
                if left == 0:
                    self._misfit()
                    raise StructuredOutputError(
                        f"the model's output does not fit its schema after {rounds} repair "
                        f"round(s): {'; '.join(error.errors[:3]) or error}",
                        text=_output(asked),
                        errors=error.errors or (str(error),),
                    ) from error
                log.warning("llm.output_repaired", model=asked.model, errors=list(error.errors))
                conversation += _complaint(asked, error, mode)
        raise ConfigurationError(f"repair_rounds is {rounds}: give 0 or more")

    def _fell(self, model: str, mode: Mode, following: Mode, why: object) -> None:
        self._works[model] = following
        log.warning(
            "llm.structured_mode_changed", model=model, tried=mode, next=following, why=str(why)
        )


def _choice(tools: tuple[Tool, ...], choice: Any) -> Any:
    if not tools:
        raise ConfigurationError("tools is empty: give at least one")
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"two tools have the same name: {', '.join(names)}")
    if choice is None:
        return "required" if len(tools) > 1 else _named(names[0])
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        if choice not in names:
            raise ConfigurationError(
                f"tool_choice is {choice!r}: use auto, none, required or one of {', '.join(names)}"
            )
        return _named(choice)
    return choice


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _request(
    messages: Sequence[Any], wanted: _Wanted, mode: Mode, options: Mapping[str, Any]
) -> dict[str, Any]:
    if mode == "tools":
        return {
            **options,
            "messages": messages,
            "tools": [tool.definition for tool in wanted.tools],
            "tool_choice": wanted.choice,
        }
    schema = _schema(wanted)
    said = {"role": "system", "content": _instruction(wanted, schema)}
    request = {**options, "messages": [said, *messages]}
    if mode == "json_schema":
        request["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        }
    elif mode == "json_object":
        request["response_format"] = {"type": "json_object"}
    return request


def _schema(wanted: _Wanted) -> Mapping[str, Any]:
    """Return one schema for the answer: the only tool's, or a choice among several."""
    forced = wanted.choice["function"]["name"] if isinstance(wanted.choice, dict) else None
    offered = [tool for tool in wanted.tools if forced in (None, tool.name)]
    if len(offered) == 1:
        return offered[0].parameters
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "tool": {"const": tool.name},
                    "arguments": tool.parameters,
                },
                "required": ["tool", "arguments"],
                "additionalProperties": False,
            }
            for tool in offered
        ]
    }


def _instruction(wanted: _Wanted, schema: Mapping[str, Any]) -> str:
    described = "; ".join(
        f"{tool.name}: {tool.definition['function'].get('description', '')}"
        for tool in wanted.tools
    )
    return (
        "Answer with one JSON value and nothing else. It must fit this JSON Schema: "
        f"{encode(schema).decode()} ({described})"
    )


def _fitting(reply: LLMResponse, wanted: _Wanted, mode: Mode) -> LLMResponse:
    if mode == "tools":
        values = [_validated(call, wanted) for call in reply.tool_calls]
        return replace(reply, text=reply.tool_calls[0].arguments, parsed=values[0])
    schema = _schema(wanted)
    if "anyOf" in schema and len(wanted.tools) > 1:
        chosen = extract(reply.text, schema).value
        arguments = encode(chosen["arguments"]).decode()
        call = ToolCall(id="call_0", name=chosen["tool"], arguments=arguments)
        value = _validated(call, wanted)
    else:
        forced = wanted.choice["function"]["name"] if isinstance(wanted.choice, dict) else ""
        tool = wanted.named(forced) or wanted.tools[0]
        found = extract(reply.text, tool.validator)
        value = found.value
        # What was repaired is no JSON as it stands.
        arguments = encode(found.value).decode() if found.repaired else found.source
        call = ToolCall(id="call_0", name=tool.name, arguments=arguments)
    return replace(
        reply,
        text=call.arguments,
        tool_calls=(call,),
        parsed=value,
        degraded=reply.degraded or f"the model's server takes no tools: answered in mode {mode}",
    )


def _validated(call: ToolCall, wanted: _Wanted) -> Any:
    tool = wanted.named(call.name)
    if tool is None:
        names = ", ".join(tool.name for tool in wanted.tools)
        raise JSONExtractionError(
            f"the model called {call.name!r}, which was not offered",
            text=call.arguments,
            errors=(f"there is no tool {call.name!r}: call one of {names}",),
        )
    return tool.parse(call.arguments)


def _complaint(reply: LLMResponse, error: JSONExtractionError, mode: Mode) -> list[dict[str, Any]]:
    """Return the messages that show the model its output and what is wrong with it."""
    wrong = "That does not fit: " + ("; ".join(error.errors) or str(error)) + ". Do it again."
    if mode != "tools":
        return [
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": wrong},
        ]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]
    answers = [
        {"role": "tool", "tool_call_id": call.id, "content": wrong} for call in reply.tool_calls
    ]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *answers]


def _output(reply: LLMResponse) -> str:
    return "\n".join(call.arguments for call in reply.tool_calls) or reply.text


def _next(mode: Mode) -> Mode | None:
    place = MODES.index(mode) + 1
    return MODES[place] if place < len(MODES) else None


def _is_about(mode: Mode, error: BadRequestError) -> bool:
    """Return whether a refusal is about the mode rather than about the messages."""
    words = {"tools": ("tool", "function"), "text": ()}.get(
        mode, ("response_format", "json", "schema")
    )
    text = str(error).lower()
    return error.status_code in (400, 404, 415, 422, 501) and any(word in text for word in words)
