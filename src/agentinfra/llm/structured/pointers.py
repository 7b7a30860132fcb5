"""References inside of a JSON Schema: followed, and moved along with the schema."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["BadPointerError", "moved", "named", "resolve"]

_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_.-]+")
_DATA: Final = frozenset({"enum", "const", "default", "examples", "example"})
_NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})


class BadPointerError(Exception):
    """A reference leads nowhere in its schema."""


def resolve(root: Mapping[str, Any], pointer: str, path: str) -> Mapping[str, Any]:
    """Return the schema that a reference means.

    Args:
        root: The schema it is in.
        pointer: The reference.
        path: Where it stands, for the error.

    Raises:
        BadPointerError: It leads out of the schema, or nowhere.
    """
    target: Any = root
    if pointer != "#" and not pointer.startswith("#/"):
        raise BadPointerError(f"{path}: {pointer!r} does not begin at the schema's root")
    for step in pointer.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, Mapping) and key in target:
            target = target[key]
        else:
            raise BadPointerError(f"{path}: {pointer!r} leads nowhere")
    if not isinstance(target, Mapping):
        raise BadPointerError(f"{path}: {pointer!r} is no schema of its own")
    return target


def named(pointer: str, *, taken: Collection[str]) -> str:
    """Return a name for what a reference means, which no other definition has."""
    last = _ILLEGAL.sub("_", unquote(pointer.rsplit("/", 1)[-1])).strip("_") or "schema"
    name, number = last, 2
    while name in taken:
        name, number = f"{last}_{number}", number + 1
    return name


def moved(schema: Any, to: str, *, keeping: tuple[str, ...] = ()) -> Any:
    """Return a schema as it has to be where it stands inside of another.

    Args:
        schema: It.
        to: The place, as a pointer without its ``#``.
        keeping: Beginnings of references that stay as they are.
    """
    if isinstance(schema, list):
        return [moved(part, to, keeping=keeping) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            stays = not value.startswith("#") or value.startswith(keeping or ("\0",))
            made[key] = value if stays else f"#{to}{value[1:]}"
        elif key in _NAMED and isinstance(value, Mapping):
            made[key] = {name: moved(one, to, keeping=keeping) for name, one in value.items()}
        else:
            made[key] = value if key in _DATA else moved(value, to, keeping=keeping)
    return made
