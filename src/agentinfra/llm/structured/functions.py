"""Functions as people write them, turned into types that pydantic can adapt."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any, Final, cast, get_args, get_origin

from pydantic.fields import FieldInfo
from typing_extensions import Unpack

from agentinfra.errors import ConfigurationError

__all__ = ["arguments_of", "description_of", "is_function", "name_of"]

_UNRESOLVED: Final = (NameError, AttributeError, SyntaxError, TypeError, ValueError)


def is_function(given: Any) -> bool:
    """Whether this is something to call rather than a type of values."""
    if isinstance(given, type) or get_origin(given) is not None:
        return False
    if inspect.isroutine(given) or isinstance(given, functools.partial):
        return True
    return callable(given) and type(given).__module__ not in ("typing", "typing_extensions")


def name_of(function: Any) -> str:
    """Return what a function is called; a partial one as what it is of, an object as its class."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def description_of(function: Any) -> str:
    """Return a function's own docstring."""
    while isinstance(function, functools.partial):
        function = function.func
    own = function if inspect.isroutine(function) else type(function)
    said = own.__doc__ or getattr(type(function).__call__, "__doc__", None)
    return inspect.cleandoc(said) if isinstance(said, str) else ""


def arguments_of(function: Callable[..., Any]) -> type:
    """Return a dataclass of a function's parameters; calling an instance calls the function.

    ``*args`` is a list and ``**kwargs`` an object of their own names. What a partial function has
    fixed by keyword is no parameter.

    Raises:
        ConfigurationError: A parameter has no annotation, or one that cannot be resolved.
    """
    parameters = _parameters(function)
    fields = [(one.name, _annotation(function, one), _field(one)) for one in parameters]

    def call(self: Any) -> Any:
        return _called(function, parameters, vars(self))

    made: Any = dataclasses.make_dataclass(
        name_of(function), fields, kw_only=True, namespace={"__call__": call}
    )
    made.__doc__ = None  # dataclasses write one of their own
    made.__module__ = getattr(function, "__module__", None) or __name__
    made.__pydantic_config__ = {"extra": "forbid"}
    return cast("type", made)


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except _UNRESOLVED as error:
        raise ConfigurationError(
            f"the annotations of {name_of(function)} cannot be read: {error}"
        ) from error
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    return [one for one in signature.parameters.values() if one.name not in fixed]


def _annotation(function: Any, parameter: Parameter) -> Any:
    given = parameter.annotation
    if given is Parameter.empty:
        raise ConfigurationError(
            f"the parameter {parameter.name!r} of {name_of(function)} has no annotation: "
            "the model cannot know its type"
        )
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return list[given]  # type: ignore[valid-type]
    if parameter.kind is Parameter.VAR_KEYWORD:
        return get_args(given)[0] if get_origin(given) is Unpack else dict[str, given]  # type: ignore[valid-type]
    if isinstance(parameter.default, FieldInfo):  # as a default it would come first of all
        return Annotated[given, parameter.default]
    return given


def _field(parameter: Parameter) -> Any:
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return dataclasses.field(default_factory=list)
    if parameter.kind is Parameter.VAR_KEYWORD:
        return dataclasses.field(default_factory=dict)
    default = parameter.default
    if default is Parameter.empty or isinstance(default, FieldInfo):
        return dataclasses.field()
    if type(default).__hash__ is None:  # dataclasses refuse it as a default, shared as it is
        return dataclasses.field(default_factory=lambda: default)
    return dataclasses.field(default=default)


def _called(function: Any, parameters: list[Parameter], values: Mapping[str, Any]) -> Any:
    """Call the function, each value in its parameter's kind of place."""
    before: list[Any] = []
    named: dict[str, Any] = {}
    by_place = any(one.kind is Parameter.VAR_POSITIONAL and values[one.name] for one in parameters)
    for one in parameters:
        value = values[one.name]
        if one.kind is Parameter.VAR_POSITIONAL:
            before += value
        elif one.kind is Parameter.VAR_KEYWORD:
            named |= value
        elif one.kind is Parameter.POSITIONAL_ONLY or (
            by_place and one.kind is Parameter.POSITIONAL_OR_KEYWORD
        ):
            before.append(value)
        else:
            named[one.name] = value
    return function(*before, **named)
