"""OpenAI's strict form of a JSON Schema, or the reason why there is none.

Strict mode takes a part of JSON Schema ("Structured Outputs", supported schemas): every object is
closed and requires all of its properties, what may be left out may be null instead, the root is
an object, and there are limits of size. The form made here is never narrower than the schema
except that objects which do not say so are closed; what it cannot say is said in descriptions,
and validated when the value is back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentinfra.llm.structured.limits import exceeded
from agentinfra.llm.structured.pointers import BadPointerError, named, resolve

__all__ = ["Strict", "strict_form"]

_SCALARS: Final = frozenset({"string", "number", "integer", "boolean", "null"})
_KEPT: Final = {
    "string": ("pattern", "format"),
    "number": ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    "integer": ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    "array": ("minItems", "maxItems"),
}
_FORMATS: Final = frozenset(
    "date-time time date duration email hostname ipv4 ipv6 uuid".split()  # noqa: SIM905
)
_SAID: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minProperties": "at least {} properties",
    "maxProperties": "at most {} properties",
    "format": "format {}",
    "pattern": "matching {}",
    "default": "default {}",
}
_CANNOT: Final = (
    "not",
    "if",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "prefixItems",
    "additionalItems",
    "contains",
    "$dynamicRef",
    "$recursiveRef",
)
_CONSTRAINING: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const"}
    | {"anyOf", "oneOf", "allOf", "$ref"}
)
_PYTHON: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}
_PYTHON_NULL: Final = {type(None): "null"}
_LOOKAROUND: Final = ("(?=", "(?!", "(?<")
_DEEPEST: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Strict:
    """A schema in strict form.

    Attributes:
        schema: The form, None where there is none.
        reason: Why there is none, with the place in the schema; empty where there is one.
    """

    schema: Mapping[str, Any] | None
    reason: str = ""


class _ImpossibleError(Exception):
    """A schema says what strict mode cannot."""


def strict_form(schema: Mapping[str, Any]) -> Strict:
    """Return the strict form of a schema whose root is an object."""
    try:
        made = _Maker(schema).run()
    except (_ImpossibleError, BadPointerError) as error:
        return Strict(schema=None, reason=str(error))
    if reason := exceeded(made):
        return Strict(schema=None, reason=reason)
    return Strict(schema=made)


class _Maker:
    """Makes one form; definitions that are referred to gather on the way."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._names: dict[str, str] = {}
        self._defs: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        root = self._node(self._root, "$", 0)
        if root.get("type") != "object":
            raise _ImpossibleError("$: its root is not an object")
        return {**root, "$defs": self._defs} if self._defs else root

    def _node(self, schema: Any, path: str, depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            raise _ImpossibleError(f"{path}: it allows anything")
        if depth > _DEEPEST:
            raise _ImpossibleError(f"{path}: it is nested too deeply")
        for keyword in _CANNOT:
            if schema.get(keyword) or (keyword in schema and keyword in ("not", "if", "contains")):
                raise _ImpossibleError(f"{path}: strict mode has no {keyword!r}")
        if "allOf" in schema:
            return self._node(self._all_of(schema, path), path, depth + 1)
        if "$ref" in schema:
            return self._reference(schema, path)
        if "anyOf" in schema or "oneOf" in schema:
            return self._any_of(schema, path, depth)
        if "enum" in schema or "const" in schema:
            return self._values(schema, path)
        return self._typed(schema, path, depth)

    # -- references and combinations

    def _reference(self, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        beside = (_CONSTRAINING & schema.keys()) - {"$ref"}
        if beside:
            raise _ImpossibleError(f"{path}: strict mode takes no {min(beside)!r} beside a $ref")
        made: dict[str, Any] = {"$ref": self._defined(str(schema["$ref"]), path)}
        # Strict mode takes nothing beside a reference, a description neither.
        return _described({"anyOf": [made]}, schema) if schema.get("description") else made

    def _defined(self, pointer: str, path: str) -> str:
        """Return where a definition stands in the form; made the first time it is named."""
        if pointer == "#":
            return pointer
        if pointer not in self._names:
            target = resolve(self._root, pointer, path)
            name = self._names[pointer] = named(pointer, taken=self._defs)
            self._defs[name] = {}  # so that a definition that refers to itself ends
            self._defs[name] = self._node(target, pointer, 0)
        return f"#/$defs/{self._names[pointer]}"

    def _all_of(self, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return one schema in place of several that all hold."""
        whole = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            while isinstance(part, Mapping) and part.keys() & {"$ref"}:
                part = {
                    **resolve(self._root, str(part["$ref"]), path),
                    **{key: value for key, value in part.items() if key != "$ref"},
                }
            if not isinstance(part, Mapping):
                raise _ImpossibleError(f"{path}: strict mode has no 'allOf'")
            for key, value in part.items():
                if key == "properties" and key in whole:
                    value = _together(whole[key], value, path)
                elif key == "required" and key in whole:
                    value = [*whole[key], *value]
                elif key in whole and whole[key] != value and key in _CONSTRAINING:
                    raise _ImpossibleError(f"{path}: strict mode has no 'allOf'")
                whole[key] = value
        return whole

    def _any_of(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        keyword = "anyOf" if "anyOf" in schema else "oneOf"
        beside = (_CONSTRAINING & schema.keys()) - {keyword, "type"}
        if beside:
            raise _ImpossibleError(f"{path}: strict mode takes no {min(beside)!r} beside {keyword}")
        kind = {"type": schema["type"]} if "type" in schema else {}
        branches = [
            {**kind, **branch} if isinstance(branch, Mapping) and "$ref" not in branch else branch
            for branch in schema[keyword]
        ]
        made = [
            self._node(branch, f"{path}.{keyword}[{place}]", depth + 1)
            for place, branch in enumerate(branches)
        ]
        return _described({"anyOf": made}, schema)

    # -- values

    def _values(self, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        values = schema.get("enum", [schema.get("const")])
        kinds = sorted({(_PYTHON | _PYTHON_NULL).get(type(value), "object") for value in values})
        declared = schema.get("type") or ()
        declared = {declared} if isinstance(declared, str) else set(declared)
        if not values or "object" in kinds or not declared <= _SCALARS:
            raise _ImpossibleError(
                f"{path}: an enum has to be of texts, numbers, true, false, null"
            )
        if "integer" in kinds and "number" in kinds:
            kinds.remove("integer")
        made = {"type": schema.get("type") or (kinds[0] if len(kinds) == 1 else kinds)}
        made |= {"enum": list(values)} if "enum" in schema else {"const": values[0]}
        return _described(made, schema)

    def _typed(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        kind = schema.get("type") or _kind_of(schema)
        if isinstance(kind, list):
            if not set(kind) <= _SCALARS:
                each = [{**schema, "type": one} for one in kind]
                made = [self._node(_relevant(one), path, depth + 1) for one in each]
                return {"anyOf": made}
            kept = [name for one in kind for name in _KEPT.get(one, ())]
        elif kind == "object":
            return self._object(schema, path, depth)
        elif kind == "array":
            items = schema.get("items")
            if not isinstance(items, Mapping):
                raise _ImpossibleError(f"{path}: it does not say what its items are")
            made_items = self._node(items, f"{path}[]", depth + 1)
            return _described({**_kept({}, schema, _KEPT["array"]), "items": made_items}, schema)
        elif kind in _SCALARS:
            kept = list(_KEPT.get(kind, ()))
        else:
            raise _ImpossibleError(f"{path}: it says no type")
        return _described(_kept({"type": kind}, schema, kept), schema)

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        more = schema.get("additionalProperties", properties is None)
        closed = more is False or schema.get("unevaluatedProperties") is False
        if not closed and (more or isinstance(more, Mapping)):
            raise _ImpossibleError(f"{path}: it may have properties that are not named")
        properties = properties or {}
        required = set(schema.get("required") or ())
        if unknown := required - properties.keys():
            raise _ImpossibleError(f"{path}: it requires {min(unknown)!r} and does not describe it")
        made = {}
        for name, inner in properties.items():
            node = self._node(inner, f"{path}.{name}", depth + 1)
            made[name] = node if name in required else _nullable(node)
        return _described(
            {
                "type": "object",
                "properties": made,
                "required": list(made),
                "additionalProperties": False,
            },
            schema,
        )


def _together(first: Mapping[str, Any], second: Mapping[str, Any], path: str) -> dict[str, Any]:
    for name in first.keys() & second.keys():
        if first[name] != second[name]:
            raise _ImpossibleError(f"{path}.{name}: strict mode has no 'allOf'")
    return {**first, **second}


def _kind_of(schema: Mapping[str, Any]) -> str | None:
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else None


def _relevant(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema of one type without what only says something of others."""
    others = {
        "object": ("properties", "required", "additionalProperties"),
        "array": ("items",),
    }
    gone = {key for kind, keys in others.items() if kind != schema["type"] for key in keys}
    return {key: value for key, value in schema.items() if key not in gone}


def _kept(
    made: dict[str, Any], schema: Mapping[str, Any], keywords: tuple[str, ...] | list[str]
) -> dict[str, Any]:
    made = made or {"type": "array"}
    for keyword in keywords:
        if keyword in schema and _takes(keyword, schema[keyword]):
            made[keyword] = schema[keyword]
    return made


def _takes(keyword: str, value: Any) -> bool:
    if keyword == "format":
        return value in _FORMATS
    if keyword == "pattern":
        return not any(mark in str(value) for mark in _LOOKAROUND)
    return not isinstance(value, bool)  # exclusiveMinimum of older drafts


def _described(made: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Add the description, and in words what strict mode has no keyword for."""
    words = [
        said.format(json.dumps(value, default=str) if keyword == "default" else value)
        for keyword, said in _SAID.items()
        if keyword not in made and (value := schema.get(keyword)) is not None
    ]
    if schema.get("uniqueItems"):
        words.append("no item twice")
    text = str(schema.get("description") or "")
    if words:
        text = f"{text} ({', '.join(words)})".strip()
    return {**made, "description": text} if text else made


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    """Let a property that may be left out be null."""
    said = {"description": node["description"]} if "description" in node else {}
    kind = node.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return node
    if "anyOf" in node:
        branches = node["anyOf"]
        null_there = any("null" in _kinds(branch) for branch in branches)
        return node if null_there else {"anyOf": [*branches, {"type": "null"}], **said}
    if isinstance(kind, str) and kind in _SCALARS and not node.keys() & {"enum", "const"}:
        return {**node, "type": [kind, "null"]}
    bare = {key: value for key, value in node.items() if key != "description"}
    return {"anyOf": [bare, {"type": "null"}], **said}


def _kinds(node: Mapping[str, Any]) -> tuple[str, ...]:
    kind = node.get("type") or ()
    return (kind,) if isinstance(kind, str) else tuple(kind)
