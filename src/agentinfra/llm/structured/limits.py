"""How large a schema may be in OpenAI's strict mode ("Structured Outputs", supported schemas)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["exceeded"]

MOST_PROPERTIES: Final = 5_000
DEEPEST: Final = 10
MOST_VALUES: Final = 1_000
MOST_CHARACTERS: Final = 120_000
LARGE_ENUM: Final = 250
MOST_ENUM_CHARACTERS: Final = 15_000


def exceeded(schema: Mapping[str, Any]) -> str:
    """Return which limit a schema in strict form exceeds; empty where it exceeds none."""
    properties = values = characters = 0
    for node in _nodes(schema):
        names = list(node.get("properties", ()))
        fixed = [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]
        size = sum(len(str(value)) for value in fixed if isinstance(value, str))
        if len(fixed) > LARGE_ENUM and size > MOST_ENUM_CHARACTERS:
            return (
                f"an enum of {len(fixed)} values has {size} characters: strict mode takes "
                f"{MOST_ENUM_CHARACTERS}"
            )
        properties += len(names)
        values += len(node.get("enum", ()))
        characters += size + sum(map(len, names)) + sum(map(len, node.get("$defs", ())))
    depth = _depth(schema, schema, {})
    for what, seen, most in (
        ("properties", properties, MOST_PROPERTIES),
        ("enum values", values, MOST_VALUES),
        ("characters in names and values", characters, MOST_CHARACTERS),
        ("levels of objects", depth, DEEPEST),
    ):
        if seen > most:
            return f"it has {seen} {what}: strict mode takes {most}"
    return ""


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += _inside(one)
        waiting += one.get("$defs", {}).values()


def _inside(node: Mapping[str, Any]) -> list[Any]:
    inner = [*node.get("properties", {}).values(), *node.get("anyOf", ())]
    return [*inner, node["items"]] if "items" in node else inner


def _depth(node: Mapping[str, Any], root: Mapping[str, Any], known: dict[str, int]) -> int:
    """Return how many objects stand in one another; one that holds itself counts once."""
    pointer = node.get("$ref")
    if pointer == "#":
        return 0
    if pointer is not None:
        if pointer not in known:
            known[pointer] = 0  # what it is within itself
            known[pointer] = _depth(root["$defs"][pointer.removeprefix("#/$defs/")], root, known)
        return known[pointer]
    inner = max((_depth(one, root, known) for one in _inside(node)), default=0)
    return inner + (node.get("type") == "object")
