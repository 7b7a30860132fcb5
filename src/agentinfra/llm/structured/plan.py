"""What a structured call asks for, and how each form of a request says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from agentinfra._types import Messages
from agentinfra.errors import ConfigurationError
from agentinfra.jsontext.schema import MismatchError
from agentinfra.llm.dialects.encoding import encode
from agentinfra.llm.structured.pointers import moved
from agentinfra.llm.structured.schemas import Schema
from agentinfra.llm.structured.strict import Strict, strict_form
from agentinfra.llm.structured.tools import Tool

__all__ = ["Plan", "Worded", "chosen"]

_CALLED: Final = ("tool", "name")
_GIVEN: Final = ("arguments", "parameters")
_WORDS: Final = "answer"
"""The property that holds an answer in words, where one is asked for as JSON."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a structured call asks for.

    Attributes:
        tools: What may be called; for a plain answer the one that stands for its schema.
        choice: OpenAI's ``tool_choice``.
        called: Whether tools are to be called; False asks for an answer that fits, without tools.
    """

    tools: tuple[Tool, ...]
    choice: Any
    called: bool = True

    @cached_property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that the choice lets a model call."""
        names = _names_in(self.choice)
        return tuple(tool for tool in self.tools if names is None or tool.name in names)

    @cached_property
    def forced(self) -> bool:
        """Whether an answer in words is none."""
        if isinstance(self.choice, Mapping) and "allowed_tools" in self.choice:
            return bool(self.choice["allowed_tools"].get("mode") == "required")
        return self.choice not in ("auto", "none")

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """How it can be asked for; the form that holds a model closest in front.

        The last one every server takes. Those named strict are OpenAI's strict form.
        """
        formats = ["json_schema strict"] if self._format.schema is not None else []
        formats += ["json_schema", "json_object", "words"]
        if not self.called:
            return tuple(formats)
        if self.choice == "none":
            return ("tools", "words")
        forced = " forced" if self.forced else ""
        strict = [f"tools strict{forced}"] if any(tool.is_strict for tool in self.tools) else []
        return (*strict, f"tools{forced}", *formats)

    def named(self, name: str) -> Tool | None:
        """Return the tool of a name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    # -- asking

    def options(self, form: str) -> Mapping[str, Any]:
        """Return what a form adds to the parameters of a request; made once."""
        return self._options[form]

    @cached_property
    def _options(self) -> Mapping[str, Mapping[str, Any]]:
        return {form: self._said(form) for form in self.forms}

    def _said(self, form: str) -> Mapping[str, Any]:
        kind, *traits = form.split()
        strict = "strict" in traits
        if kind == "tools":
            tools = [tool.definition if strict else tool.loose for tool in self.tools]
            return {"tools": tools, "tool_choice": self.choice}
        if kind == "json_schema":
            schema = self._format.schema if strict else self._asked
            given: dict[str, Any] = {"name": self._name, "schema": schema}
            if strict:
                given["strict"] = True
            return {"response_format": {"type": "json_schema", "json_schema": given}}
        return {"response_format": {"type": "json_object"}} if kind == "json_object" else {}

    def messages(self, form: str, messages: Messages) -> Messages:
        """Return the messages of a request, with what a form has to say in words."""
        if form.startswith("tools") or self.choice == "none":
            return messages
        if form.startswith("json_schema") and not self.called:
            return messages  # the schema is in the request, with all it says
        first = messages[0]
        if first.get("role") == "system" and isinstance(first.get("content"), str):
            # Templates of some models take one message of the system, and only as the first.
            said = f"{first['content']}\n\n{self.instruction}"
            return [{**first, "content": said}, *messages[1:]]
        return [{"role": "system", "content": self.instruction}, *messages]

    @cached_property
    def _name(self) -> str:
        return self.offered[0].name if len(self.offered) == 1 else "answer"

    @cached_property
    def _alone(self) -> Schema | None:
        """The schema of the only thing that can be answered."""
        return self.offered[0].schema if len(self.offered) == 1 and self.forced else None

    @cached_property
    def _asked(self) -> Mapping[str, Any]:
        """One schema for the answer: the only tool's, or a choice among several."""
        if self._alone is not None:
            return self._alone.sent
        branches = [_branch(tool, place) for place, tool in enumerate(self.offered)]
        if not self.forced:
            branches.append(_object({_WORDS: {"type": "string"}}))
        return _object({"value": {"anyOf": branches}})

    @cached_property
    def _format(self) -> Strict:
        if any(tool.refuses_strict for tool in self.offered):
            return Strict(schema=None)
        return self._alone.strict if self._alone is not None else strict_form(self._asked)

    @cached_property
    def instruction(self) -> str:
        """What is asked for, in words."""
        said = [f"{tool.name}: {tool.description}" for tool in self.offered if tool.description]
        described = f" ({'; '.join(said)})" if said else ""
        schema = encode(self._asked).decode()
        if self.forced:
            return (
                "Answer with one JSON value and nothing else. It must fit this JSON Schema: "
                f"{schema}{described}"
            )
        return (
            "You may call one of these tools, or answer in words. To call one, answer with one "
            'JSON object and nothing else: {"tool": its name, "arguments": its arguments}. It must '
            f"fit this JSON Schema: {schema}{described}"
        )

    # -- reading what is no call

    def calls(self, value: Any) -> tuple[Tool, Any]:
        """Return which tool a value in a text calls, and with what.

        Raises:
            MismatchError: It calls none.
        """
        inner = value.get("value") if isinstance(value, dict) and len(value) == 1 else None
        return self._call_in(inner if isinstance(inner, dict) else value)

    def _call_in(self, value: Any) -> tuple[Tool, Any]:
        if isinstance(value, dict):
            name = next((value[key] for key in _CALLED if key in value), None)
            given = next((key for key in _GIVEN if key in value), None)
            tool = self.named(name) if isinstance(name, str) else None
            if tool is not None and given is not None:
                return tool, value[given]
        names = ", ".join(tool.name for tool in self.offered)
        raise MismatchError([f'$: name the tool, one of {names}, as "tool", beside "arguments"'])

    def words(self, value: Any) -> str:
        """Return the answer in words that a value holds.

        Raises:
            MismatchError: It holds none.
        """
        inner = value.get("value", value) if isinstance(value, dict) else value
        if isinstance(inner, dict) and isinstance(inner.get(_WORDS), str) and len(inner) == 1:
            return str(inner[_WORDS])
        raise MismatchError([f'$: give the answer in words as "{_WORDS}"'])


class Worded:
    """One request's messages and parameters, in whatever form its endpoint takes.

    Args:
        plan: What is asked for.
        messages: The messages as the caller has them.
        options: The parameters as the caller has them.
    """

    __slots__ = ("_messages", "_options", "_plan")

    def __init__(self, plan: Plan, messages: Messages, options: Mapping[str, Any]) -> None:
        self._plan = plan
        self._messages = messages
        self._options = options

    @property
    def names(self) -> tuple[str, ...]:
        """The forms, the one that is best in front."""
        return self._plan.forms

    def said(self, form: str) -> tuple[Messages, dict[str, Any]]:
        """Return messages and parameters in a form."""
        options = {**self._options, **self._plan.options(form)}
        return self._plan.messages(form, self._messages), options


def chosen(tools: Sequence[Tool], choice: Any) -> Any:
    """Return OpenAI's ``tool_choice``: what a caller chose, checked, or that one has to be called.

    Raises:
        ConfigurationError: There are no tools, two of one name, or none of the name chosen.
    """
    if not tools:
        raise ConfigurationError("tools is empty: give at least one")
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"two tools have the same name: {', '.join(names)}")
    if choice is None:
        return "required" if len(tools) > 1 else _choice_of(tools[0])
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        if choice not in names:
            raise ConfigurationError(
                f"tool_choice is {choice!r}: use auto, none, required or one of {', '.join(names)}"
            )
        return _choice_of(tools[names.index(choice)])
    unknown = set(_names_in(choice) or ()) - set(names)
    if unknown:
        raise ConfigurationError(
            f"tool_choice names {min(unknown)!r}, which is none of {', '.join(names)}"
        )
    return choice


def _choice_of(tool: Tool) -> dict[str, Any]:
    kind = str(tool.loose["type"])
    return {"type": kind, kind: {"name": tool.name}}


def _names_in(choice: Any) -> list[str] | None:
    """Return the names that a choice is among, None where it is among all."""
    if not isinstance(choice, Mapping):
        return None
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, Mapping):
        return [name for tool in allowed.get("tools", ()) for name in _names_in(tool) or ()]
    inner = choice.get(str(choice.get("type")))
    name = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
    return [name] if isinstance(name, str) else None


def _branch(tool: Tool, place: int) -> dict[str, Any]:
    at = f"/properties/value/anyOf/{place}/properties/arguments"
    named = {"type": "string", "const": tool.name}
    return _object({"tool": named, "arguments": moved(tool.parameters, at)})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
