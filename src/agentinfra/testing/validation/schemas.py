"""JSON Schemas as OpenAI takes them: of known types, and closed where they are strict."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import orjson

from agentinfra.testing.outcome import RefusedError

__all__ = ["check_schema"]

_NESTED = ("items", "anyOf", "allOf", "oneOf", "not", "additionalProperties")
_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_DEEPEST = 100
_REMEMBERED = 500
_SHOWN = 300


def check_schema(schema: Any, owner: str, param: str, *, strict: bool) -> None:
    """Check the schema of a tool's parameters or of a response format.

    Args:
        schema: The schema.
        owner: What it is for, as the message names it.
        param: Where it stands.
        strict: Whether every object has to be closed, with all of its properties required.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    start = f"Invalid schema for {owner}: "
    if not isinstance(schema, dict):
        raise _bad(start + "a schema has to be an object.", param)
    kind = schema.get("type")
    if (strict and kind != "object" and "$ref" not in schema) or kind not in (None, "object"):
        given = "None" if kind is None else f'"{kind}"'
        raise _bad(
            f"{start}schema must be a JSON Schema of 'type: \"object\"', got {given}.", param
        )
    _check_depth(schema, start, param)
    if complaint := _complaint(orjson.dumps(schema)):
        raise _bad(f"{start}{complaint}.", param)
    if strict:
        _check_strict(schema, start, param)


def _check_depth(schema: Any, start: str, param: str, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise _bad(start + "it is nested too deep.", param)
    inner = schema.values() if isinstance(schema, dict) else schema
    for value in inner if isinstance(schema, dict | list) else ():
        _check_depth(value, start, param, depth + 1)


def _check_strict(schema: Any, start: str, param: str) -> None:
    if isinstance(schema, list):
        for item in schema:
            _check_strict(item, start, param)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("properties"), dict):
        _check_closed(schema, schema["properties"], start, param)
    named = [list(schema[key].values()) for key in _NAMED if isinstance(schema.get(key), dict)]
    nested = [schema[key] for key in _NESTED if key in schema]
    for inner in [*named, *nested]:
        _check_strict(inner, start, param)


@functools.lru_cache(_REMEMBERED)
def _complaint(schema: bytes) -> str | None:
    """Return what is wrong with a schema as such; remembered, as it takes a millisecond."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    error = best_match(meta.iter_errors(orjson.loads(schema)))
    return None if error is None else str(error.message)[:_SHOWN]


def _check_closed(
    schema: Mapping[str, Any], properties: Mapping[str, Any], start: str, param: str
) -> None:
    if schema.get("additionalProperties") is not False:
        raise _bad(
            start + "'additionalProperties' is required to be supplied and to be false.", param
        )
    required = schema.get("required") or ()
    left = [name for name in properties if name not in required]
    if left:
        raise _bad(
            f"{start}'required' is required to be an array including every key in properties. "
            f"Missing {min(left)!r}.",
            param,
        )


def _bad(message: str, param: str) -> RefusedError:
    return RefusedError(message, param=param, code="invalid_json_schema")
