"""Whatever pydantic can adapt, and JSON Schemas, as what a model is asked for and read with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

from agentinfra.errors import ConfigurationError, JSONExtractionError
from agentinfra.jsontext.extract import Extraction, extract_judged
from agentinfra.jsontext.schema import Judge, MismatchError, judge
from agentinfra.jsontext.typeddicts import adaptable
from agentinfra.llm.structured.functions import (
    arguments_of,
    description_of,
    is_function,
    name_of,
)
from agentinfra.llm.structured.nulls import without_nulls
from agentinfra.llm.structured.pointers import BadPointerError, moved, resolve
from agentinfra.llm.structured.strict import Strict, strict_form

__all__ = ["Schema", "TruncatedError", "schema_of"]

WRAPPED: Final = "value"
"""The property that holds a value which is no object: tools and strict schemas take objects."""

_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME: Final = 64
_AT_THE_TOP: Final = ("anyOf", "oneOf", "allOf", "enum", "const", "not", "if", "$ref")
_HOISTED: Final = ("$defs", "definitions")


class TruncatedError(JSONExtractionError):
    """The JSON ends before its value does: what is missing nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A schema of values.

    Attributes:
        name: What it is called, as OpenAI allows names.
        description: What it says of itself, empty where it says nothing.
        given: The JSON Schema of the value itself.
        fits: Validates a value and returns it as the schema wants it.
    """

    name: str
    description: str
    given: Mapping[str, Any]
    fits: Judge

    @cached_property
    def wraps(self) -> bool:
        """Whether a value is asked for inside of an object, since it is none itself."""
        return not _is_object(self.given)

    @cached_property
    def sent(self) -> Mapping[str, Any]:
        """The JSON Schema of the object that is asked for."""
        if not self.wraps:
            return self.given
        inner = {
            key: value for key, value in self.given.items() if key not in (*_HOISTED, "$schema")
        }
        keeping = tuple(f"#/{name}/" for name in _HOISTED)
        return {
            "type": "object",
            "properties": {WRAPPED: moved(inner, f"/properties/{WRAPPED}", keeping=keeping)},
            "required": [WRAPPED],
            "additionalProperties": False,
            **{name: self.given[name] for name in _HOISTED if name in self.given},
        }

    @cached_property
    def strict(self) -> Strict:
        """The strict form of what is asked for, or why there is none."""
        return strict_form(self.sent)

    def judge(self, value: Any) -> Any:
        """Return the value in what a model gave.

        Raises:
            MismatchError: There is none that fits.
        """
        if self.wraps and isinstance(value, dict) and value.keys() == {WRAPPED}:
            try:
                return self._judge(value[WRAPPED])
            except MismatchError as mismatch:
                # Perhaps it has not wrapped it, and this is the value.
                try:
                    return self.fits(value)
                except MismatchError:
                    raise mismatch from None
        return self._judge(value)

    def _judge(self, value: Any) -> Any:
        try:
            return self.fits(value)
        except MismatchError:
            # What may be left out is null in the strict form.
            fuller = without_nulls(value, self.given)
            if fuller is value:
                raise
            return self.fits(fuller)

    def read(self, text: str) -> Extraction:
        """Return the value in a text, whatever stands around it.

        Raises:
            TruncatedError: It ends before its value does.
            JSONExtractionError: There is none that fits; ``errors`` says why.
        """
        found = extract_judged(text, self.judge)
        if found.strategy == "truncated":
            raise TruncatedError(
                "the JSON is cut off", text=text, errors=("the JSON ends before its value does",)
            )
        return found


def schema_of(given: Any) -> Schema:
    """Return the schema of a type, a TypeAdapter, a function's parameters, or a JSON Schema.

    Raises:
        ConfigurationError: It is none of these, or has parts that JSON cannot hold.
    """
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if is_function(given):
        return _of_type(arguments_of(given), name_of(given), description_of(given))
    return _of_type(given, _type_name(given), _own_docstring(given))


def legal(name: str) -> str:
    """Return a name as OpenAI allows it."""
    return _ILLEGAL.sub("_", name)[:_LONGEST_NAME].strip("_") or "answer"


def _of_mapping(given: Mapping[str, Any]) -> Schema:
    return Schema(
        name=legal(str(given.get("title") or "answer")),
        description=str(given.get("description") or ""),
        given=_opened(given),
        fits=judge(given),
    )


def _of_type(given: Any, name: str, description: str) -> Schema:
    written = _written(given)
    if written.get("description") == given.__doc__ or not description:
        # It stands beside the schema already, or is not the type's own.
        written = {key: value for key, value in written.items() if key != "description"}
    schema = _opened(_untitled(written))
    return Schema(name=legal(name), description=description, given=schema, fits=judge(given))


def _written(given: Any) -> dict[str, Any]:
    """Return the JSON Schema that pydantic writes for a type."""
    from pydantic import BaseModel, PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticUndefinedAnnotation
    from pydantic.json_schema import GenerateJsonSchema
    from pydantic_core import SchemaError

    class Quiet(GenerateJsonSchema):
        """Writes schemas without warnings: what it leaves out is validated all the same."""

        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    if given is None or isinstance(given, str):
        raise ConfigurationError(f"the schema {given!r:.80} is none: give a dict or a type")
    try:
        if isinstance(given, TypeAdapter):
            return given.json_schema(schema_generator=Quiet)
        own = getattr(given, "model_json_schema", None)
        usual: Any = BaseModel.model_json_schema
        if own is not None and getattr(own, "__func__", None) is not usual.__func__:
            return cast("dict[str, Any]", own())
        return TypeAdapter(adaptable(given)).json_schema(schema_generator=Quiet)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        raise ConfigurationError(
            f"{given!r:.80} has no schema: give a JSON Schema as a dict, a function with "
            f"annotations, or a type that pydantic can adapt ({' '.join(str(error).split())[:200]})"
        ) from error


def _opened(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema whose root is no reference, as that of a type that holds itself is."""
    opened = schema
    for _ in range(8):
        if not isinstance(pointer := opened.get("$ref"), str):
            break
        try:
            target = resolve(schema, pointer, "$")
        except BadPointerError:
            break
        beside = {key: value for key, value in opened.items() if key != "$ref"}
        opened = {**target, **beside}
    return opened


def _is_object(schema: Mapping[str, Any]) -> bool:
    if any(keyword in schema for keyword in _AT_THE_TOP):
        return False
    return schema.get("type") == "object" or ("type" not in schema and "properties" in schema)


def _type_name(given: Any) -> str:
    return (
        str(given.__name__) if isinstance(given, type) and not hasattr(given, "__origin__") else ""
    )


def _own_docstring(given: Any) -> str:
    """Return a class's docstring; neither one it inherits, nor one that dataclasses wrote."""
    if not isinstance(given, type) or given.__module__ == "builtins":
        return ""
    own = given.__dict__.get("__doc__")
    if not isinstance(own, str) or own.startswith(f"{given.__name__}("):
        return ""
    return inspect.cleandoc(own)


def _untitled(schema: Any, *, of_names: bool = False) -> Any:
    """Return a schema without the titles that pydantic makes of names: they say nothing new."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value
        if key in ("default", "enum", "const", "examples")
        else _untitled(value, of_names=not of_names and key in ("properties", "$defs"))
        for key, value in schema.items()
        if of_names or key != "title" or not isinstance(value, str)
    }
