"""Schemas as judges: JSON Schema through jsonschema, Python types through pydantic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agentinfra._mechanics.vendors import load
from agentinfra.errors import ConfigurationError
from agentinfra.jsontext.typeddicts import adaptable

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["MAX_CACHED_SCHEMAS", "Judge", "MismatchError", "judge"]

MAX_CACHED_SCHEMAS: Final = 128
"""Compiled schemas kept, of each of the two kinds; the least recently used one goes."""

_MAX_LINES: Final = 10
_MAX_LINE: Final = 300

Judge = Callable[[Any], Any]
"""Gives a value back as the schema wants it (an instance, for a model), or raises MismatchError."""


class MismatchError(Exception):
    """A value does not fit the schema; ``lines`` say why."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(" ".join(line.split())[:_MAX_LINE] for line in lines)
        super().__init__("; ".join(self.lines))


def judge(schema: Any) -> Judge:
    """Return the judge of a JSON Schema (a mapping), a TypeAdapter, or a type that can be one.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(schema, Mapping):
        return _json_schema(_canonical(schema))
    if callable(getattr(schema, "validate_json", None)):
        return _typed(schema)
    if isinstance(schema, str):
        raise ConfigurationError(f"the schema {schema!r:.80} is a text: give a dict or a type")
    try:
        return _type(schema)
    except TypeError:  # a type with unhashable metadata
        return _type.__wrapped__(schema)


def _canonical(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the schema is no JSON Schema: {error}") from error


@lru_cache(maxsize=MAX_CACHED_SCHEMAS)
def _json_schema(canonical: str) -> Judge:
    load("jsonschema")
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    schema = json.loads(canonical)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError(
            f"the schema is no JSON Schema: {error.json_path}: {error.message}"
        ) from error
    # With a registry of its own the validator never fetches a reference from the network.
    validator = kind(schema, registry=REGISTRY)

    def check(value: Any) -> Any:
        try:
            found = [f"{e.json_path}: {e.message}" for e in _first(validator.iter_errors(value))]
        except RecursionError:
            raise MismatchError(["$: nested too deeply to be validated"]) from None
        except Unresolvable as error:
            raise ConfigurationError(
                f"the schema refers to {error.ref!r}, which it does not hold: put it in its $defs"
            ) from error
        if found:
            raise MismatchError(found)
        return value

    return check


@lru_cache(maxsize=MAX_CACHED_SCHEMAS)
def _type(schema: Any) -> Judge:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic_core import SchemaError

    try:
        return _typed(TypeAdapter(adaptable(schema)))
    except (PydanticUserError, SchemaError) as error:
        raise ConfigurationError(
            f"the schema {schema!r:.80} is neither a JSON Schema nor a type pydantic knows:"
            " give a dict, a model class, a dataclass, a TypedDict or list[Model]"
        ) from error


def _typed(adapter: TypeAdapter[Any]) -> Judge:
    from pydantic import ValidationError

    def check(value: Any) -> Any:
        try:
            return adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] != "json_invalid":
                raise MismatchError(_lines(error)) from None
        except RecursionError:
            raise MismatchError(["$: nested too deeply to be validated"]) from None
        try:  # lone surrogates, and nesting that only pydantic's own parser refuses
            return adapter.validate_python(value)
        except ValidationError as error:
            raise MismatchError(_lines(error)) from None

    return check


def _lines(error: ValidationError) -> Iterable[str]:
    for item in _first(error.errors(include_url=False, include_context=False)):
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in item["loc"])
        yield f"${path}: {item['msg']}"


def _first(errors: Iterable[Any]) -> Iterable[Any]:
    return islice(errors, _MAX_LINES)
