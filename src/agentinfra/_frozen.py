"""Frozen dataclasses that are cheap to make."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

__all__ = ["cheap_to_make"]

T = TypeVar("T")


def cheap_to_make(cls: type[T]) -> type[T]:
    """Give a frozen, slotted, keyword-only dataclass an ``__init__`` at 40 % of its price.

    The one it comes with sets each field through ``object.__setattr__``, which looks the slot up
    by its name. This one calls the slots themselves. Frozen it stays; defaults are values.

    Raises:
        TypeError: A field has a factory, or is no argument.
    """
    names: dict[str, Any] = {}
    arguments, lines = [], []
    for field in fields(cls):  # type: ignore[arg-type]  # it is a dataclass
        if field.default_factory is not MISSING or not field.init:
            raise TypeError(f"{cls.__name__}.{field.name} is no plain argument")
        names[f"set_{field.name}"] = cls.__dict__[field.name].__set__
        names[f"default_{field.name}"] = field.default
        has_default = field.default is not MISSING
        arguments.append(f"{field.name}=default_{field.name}" if has_default else field.name)
        lines.append(f"    set_{field.name}(self, {field.name})")
    source = f"def __init__(self, *, {', '.join(arguments)}):\n" + "\n".join(lines)
    exec(source, names)  # noqa: S102 - of our own names alone, as dataclasses makes the other
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__module__ = cls.__module__
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
