"""Tools as people have them, turned into the definitions OpenAI takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from agentinfra.errors import ConfigurationError
from agentinfra.jsontext.schema import judge
from agentinfra.llm.structured.schemas import Schema, schema_of

__all__ = ["Tool", "tool_of"]

_KEYWORDS: Final = frozenset(
    {"title", "properties", "type", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}
)
_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function a model may call.

    Attributes:
        name: Its name, as OpenAI allows names.
        description: What it does, for the model.
        schema: What its arguments are validated with; None for a custom tool, whose input is text.
        loose: OpenAI's tool definition without the strict form.
        refuses_strict: Whether whoever defined it wants it without the strict form.
    """

    name: str
    description: str
    schema: Schema | None
    loose: Mapping[str, Any]
    refuses_strict: bool = False

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arguments' JSON Schema."""
        return self.schema.sent if self.schema is not None else {"type": "string"}

    @cached_property
    def definition(self) -> Mapping[str, Any]:
        """OpenAI's tool definition, in its strict form where there is one."""
        if self.schema is None or self.refuses_strict or self.schema.strict.schema is None:
            return self.loose
        function = {
            **self.loose["function"],
            "parameters": self.schema.strict.schema,
            "strict": True,
        }
        return {**self.loose, "function": function}

    @property
    def is_strict(self) -> bool:
        """Whether the definition is in the strict form."""
        return self.definition is not self.loose

    @property
    def loose_because(self) -> str:
        """Why there is no strict form; empty where there is one, or none is wanted."""
        if self.schema is None or self.refuses_strict:
            return ""
        return self.schema.strict.reason

    def parse(self, arguments: str) -> Any:
        """Return the validated arguments; an instance where the tool is a type.

        Raises:
            TruncatedError: The arguments end before their value does.
            JSONExtractionError: They are no JSON, or do not fit; ``errors`` says why.
        """
        if self.schema is None:
            return arguments
        return self.schema.read(arguments if arguments.strip() else "{}").value


def tool_of(tool: Any) -> Tool:
    """Return the definition of a tool.

    Args:
        tool: An OpenAI tool definition (of either API), a JSON Schema with a ``title``, a function
            whose parameters are annotated, or a type that pydantic can adapt: its values are the
            arguments.

    Raises:
        ConfigurationError: It is none of these, or says that it is strict and cannot be.
    """
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, Mapping):
        return _from_mapping(tool)
    try:
        return _tool(schema_of(tool))
    except ConfigurationError as error:
        raise ConfigurationError(f"{tool!r:.80} is not a tool: {error}") from error


def _from_mapping(tool: Mapping[str, Any]) -> Tool:
    kind = tool.get("type")
    inner = tool.get(kind) if kind in ("function", "custom") else None
    if inner is None and kind in ("function", "custom") and isinstance(tool.get("name"), str):
        inner = {key: value for key, value in tool.items() if key != "type"}  # Responses' own form
    if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
        return _defined(kind, inner)
    if _KEYWORDS & tool.keys() and (kind is None or not isinstance(kind, str) or kind in _TYPES):
        return _tool(schema_of(tool))
    raise ConfigurationError(
        f"the tool {dict(tool)!r:.80} is neither an OpenAI tool definition nor a JSON Schema"
    )


def _defined(kind: Any, function: Mapping[str, Any]) -> Tool:
    """Return a tool out of an OpenAI definition, which stays as it is but for its strict form."""
    name, description = str(function["name"]), str(function.get("description") or "")
    loose = {"type": kind, kind: dict(function)}
    if kind == "custom":
        return Tool(name=name, description=description, schema=None, loose=loose)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    schema = Schema(name=name, description=description, given=parameters, fits=judge(parameters))
    strict = function.get("strict")
    loose["function"].pop("strict", None)
    made = Tool(
        name=name,
        description=description,
        schema=schema,
        loose=loose,
        refuses_strict=strict is False,
    )
    if strict and schema.strict.schema is None:
        raise ConfigurationError(
            f"the tool {name!r} is to be strict and cannot be: {schema.strict.reason}; change its "
            "parameters, or leave strict out"
        )
    return made


def _tool(schema: Schema) -> Tool:
    function: dict[str, Any] = {"name": schema.name, "parameters": schema.sent}
    if schema.description:
        function["description"] = schema.description
    return Tool(
        name=schema.name,
        description=schema.description,
        schema=schema,
        loose={"type": "function", "function": function},
    )
