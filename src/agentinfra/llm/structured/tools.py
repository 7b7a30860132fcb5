"""Tools as people have them, turned into the definitions OpenAI takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentinfra.errors import ConfigurationError, JSONExtractionError
from agentinfra.jsontext.extract import extract

__all__ = ["Tool", "tool_of"]

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function a model may call.

    Attributes:
        name: Its name, as OpenAI allows names.
        definition: OpenAI's tool definition.
        validator: What its arguments are validated with: a pydantic model or a JSON Schema.
    """

    name: str
    definition: Mapping[str, Any]
    validator: Any

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arguments' JSON Schema."""
        schema: Mapping[str, Any] = self.definition["function"].get("parameters") or {
            "type": "object"
        }
        return schema

    def parse(self, arguments: str) -> Any:
        """Return the validated arguments; an instance where the tool is a pydantic model.

        Raises:
            JSONExtractionError: They are no JSON, or do not fit; ``errors`` says why.
        """
        text = arguments if arguments.strip() else "{}"
        value = extract(text, self.validator).value
        if isinstance(value, list) and self.parameters.get("type") == "object":
            raise JSONExtractionError(
                "the arguments are a list, not an object", text=text, errors=("not an object",)
            )
        return value


def tool_of(tool: Any) -> Tool:
    """Return the definition of a tool.

    Args:
        tool: An OpenAI tool definition, a JSON Schema with a ``title``, a pydantic model, or a
            function whose parameters are annotated.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, Mapping):
        return _from_mapping(tool)
    if isinstance(tool, type) and hasattr(tool, "model_json_schema"):
        return _from_model(tool, tool.__name__, inspect.getdoc(tool) or "")
    if callable(tool):
        return _from_function(tool)
    raise ConfigurationError(
        f"{tool!r:.80} is not a tool: give an OpenAI definition, a JSON Schema with a title, "
        "a pydantic model or an annotated function"
    )


def _from_mapping(tool: Mapping[str, Any]) -> Tool:
    function = tool.get("function") if tool.get("type") == "function" else None
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        schema = function.get("parameters") or {"type": "object"}
        return Tool(name=function["name"], definition=tool, validator=schema)
    if "title" in tool or "properties" in tool:
        return _tool(
            str(tool.get("title") or "answer"), str(tool.get("description") or ""), tool, tool
        )
    raise ConfigurationError(
        f"the tool {dict(tool)!r:.80} is neither an OpenAI tool definition nor a JSON Schema "
        "with a title"
    )


def _from_model(model: Any, name: str, description: str) -> Tool:
    return _tool(name, description, model.model_json_schema(), model)


def _from_function(function: Callable[..., Any]) -> Tool:
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.annotation is parameter.empty:
            raise ConfigurationError(
                f"the parameter {parameter.name!r} of {function.__name__} has no annotation: "
                "the model cannot know its type"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)
    model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    return _from_model(model, function.__name__, inspect.getdoc(function) or "")


def _tool(name: str, description: str, schema: Mapping[str, Any], validator: Any) -> Tool:
    legal = _ILLEGAL.sub("_", name)[:64] or "answer"
    function: dict[str, Any] = {"name": legal, "parameters": dict(schema)}
    if description:
        function["description"] = description
    return Tool(
        name=legal, definition={"type": "function", "function": function}, validator=validator
    )
