"""Refusals in OpenAI's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentinfra.testing.outcome import RefusedError

__all__ = [
    "Mismatch",
    "empty_array",
    "invalid_type",
    "invalid_value",
    "missing",
    "not_among",
    "out_of_bounds",
    "too_long",
    "unknown",
]

_SHOWN = 24


class Mismatch(Exception):  # noqa: N818 - becomes an error once its place is known
    """A value that does not fit; its place is put together on the way up."""

    def __init__(self, message: str, code: str, *, place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.place = place

    def below(self, step: str | int) -> Mismatch:
        """Put one step before the place; called once on each level."""
        own = f"[{step}]" if isinstance(step, int) else str(step)
        joined = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        self.place = own + joined
        return self

    def refusal(self) -> RefusedError:
        """Return the error that tells of it."""
        message = self.message.replace("{}", self.place or "body")
        return RefusedError(message, param=self.place or None, code=self.code)


def invalid_type(expected: str, value: Any) -> Mismatch:
    """The value is of another type."""
    got = kind_of(value)
    return Mismatch(
        f"Invalid type for '{{}}': expected {expected}, but got {got} instead.", "invalid_type"
    )


def not_among(value: Any, supported: Iterable[str]) -> Mismatch:
    """The value is none of those that there are."""
    named = [f"'{name}'" for name in supported]
    listed = named[0] if len(named) == 1 else ", ".join(named[:-1]) + f", and {named[-1]}"
    shown = str(value)[:_SHOWN].replace("{}", "")
    return Mismatch(f"Invalid value: '{shown}'. Supported values are: {listed}.", "invalid_value")


def missing(name: str) -> Mismatch:
    """A required key is not there."""
    return Mismatch("Missing required parameter: '{}'.", "missing_required_parameter", place=name)


def unknown(name: str) -> Mismatch:
    """A key is not one of the API's."""
    return Mismatch("Unknown parameter: '{}'.", "unknown_parameter", place=str(name)[:200])


def empty_array() -> Mismatch:
    """There is nothing in it."""
    return Mismatch(
        "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty "
        "array instead.",
        "empty_array",
    )


def too_long(most: int, length: int) -> Mismatch:
    """There is too much in it."""
    return Mismatch(
        f"Invalid '{{}}': array too long. Expected an array with maximum length {most}, but got "
        f"an array with length {length} instead.",
        "array_above_max_length",
    )


def out_of_bounds(value: float, low: float | None, high: float | None) -> Mismatch:
    """A number is too small or too large."""
    kind = "integer" if isinstance(value, int) else "decimal"
    if low is not None and value < low:
        side, code, bound = "below minimum", "below_min", f">= {low}"
    else:
        side, code, bound = "above maximum", "above_max", f"<= {high}"
    return Mismatch(
        f"Invalid '{{}}': {kind} {side} value. Expected a value {bound}, but got {value} instead.",
        f"{kind}_{code}_value",
    )


def invalid_value(param: str, why: str) -> RefusedError:
    """A value that breaks a rule between several."""
    return RefusedError(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")


def kind_of(value: Any) -> str:
    """Return what a JSON value is, as OpenAI names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a decimal", list: "an array"}
    return names.get(type(value), "an object")
