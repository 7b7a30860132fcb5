"""Nulls that stand for what was left out.

Strict mode requires every property, so that one which may be left out is null instead. A type
with a default of its own does not take null for it; then it is taken out before the value is
looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentinfra.llm.structured.pointers import BadPointerError, resolve

__all__ = ["without_nulls"]


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value without nulls where its schema takes none and does not require any.

    Args:
        value: The value as a model gave it; the same object comes back where nothing changes.
        schema: Its schema.
    """
    return _cleaned(value, schema, schema)


def _cleaned(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict | list):
        return value
    for one in _meant(schema, value, root):
        value = _items(value, one, root) if isinstance(value, list) else _object(value, one, root)
    return value


def _object(value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    made: dict[str, Any] = {}
    for name, inner in value.items():
        described = properties.get(name, schema.get("additionalProperties"))
        if inner is None and name in properties and name not in required:
            if _takes_null(described, root):
                made[name] = inner
        else:
            made[name] = _cleaned(inner, described, root)
    same = len(made) == len(value) and all(made[name] is value[name] for name in made)
    return value if same else made


def _items(value: list[Any], schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    made = [_cleaned(item, schema.get("items"), root) for item in value]
    return value if all(map(_same, made, value)) else made


def _same(one: object, other: object) -> bool:
    return one is other


def _meant(schema: Any, value: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that may be meant by a value: references and choices followed."""
    waiting, followed = [schema], 0
    while waiting and followed < 100:
        followed += 1
        one = waiting.pop()
        if not isinstance(one, Mapping):
            continue
        if isinstance(pointer := one.get("$ref"), str):
            try:
                waiting.append(resolve(root, pointer, ""))
            except BadPointerError:
                continue
        for keyword in ("anyOf", "oneOf", "allOf"):
            waiting += one.get(keyword) or ()
        if _could_be(one, value):
            yield one


def _could_be(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether no fixed value of the schema, such as a discriminator, says otherwise."""
    if isinstance(value, list):
        return "items" in schema
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, Mapping) and name in value:
            fixed = [inner["const"]] if "const" in inner else inner.get("enum")
            if fixed is not None and value[name] is not None and value[name] not in fixed:
                return False
    return "properties" in schema or "additionalProperties" in schema


def _takes_null(schema: Any, root: Mapping[str, Any]) -> bool:
    if schema is True or schema == {}:
        return True
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return True
    if None in (schema.get("enum") or ()):
        return True
    if isinstance(pointer := schema.get("$ref"), str):
        try:
            return _takes_null(resolve(root, pointer, ""), root)
        except (BadPointerError, RecursionError):
            return False
    return any(_takes_null(one, root) for key in ("anyOf", "oneOf") for one in schema.get(key, ()))
