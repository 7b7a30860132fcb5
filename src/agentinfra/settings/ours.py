"""The variables that are ours: ``AGENTINFRA_<GROUP>__<FIELD>``, read strictly.

Not everything that begins with the prefix is ours: Kubernetes sets ``AGENTINFRA_SERVICE_HOST`` in
every pod beside a service of that name, and people have ``AGENTINFRA_VENV``. What looks like one of
our names and is none is a typo.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from agentinfra.errors import ConfigurationError
from agentinfra.settings.groups.group import Group
from agentinfra.settings.origins import Variable
from agentinfra.settings.refusal import hint
from agentinfra.settings.secret import Secret
from agentinfra.settings.url import Url

__all__ = ["FILE_SUFFIX", "PREFIX", "our_variables", "pathway"]

PREFIX = "AGENTINFRA_"
FILE_SUFFIX = "_FILE"

_SERVICE_LINK = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes and Docker's links set for a service whose name begins with ours."""

_CLOSE = 0.8
"""How alike a name is to one of ours to be taken for a typo."""

_EXAMPLES = {
    "prices": '{"my-model": {"input": 1.5, "output": 6}}',
    "endpoints": '{"backup": {"base_url": "https://..."}}',
    "fallback_models": '["gpt-4o"]',
    "redact": '["account_number"]',
    "required": '["database"]',
}
"""Fields that hold more than one value, and what that looks like in a variable."""


def our_variables(
    variables: Mapping[str, Variable], groups: Mapping[str, type[Group]]
) -> Iterator[tuple[tuple[str, ...], Any, Variable]]:
    """Yield where each variable of ours points to, and its value.

    Args:
        variables: All there are, by name.
        groups: The groups there are.

    Raises:
        ConfigurationError: A name is none, or a list or table is not JSON.
    """
    pointed: dict[tuple[str, ...], str] = {}
    for variable in variables.values():
        name = variable.name.upper()
        if not name.startswith(PREFIX):
            continue
        bare = name.removeprefix(PREFIX)
        if "__" not in bare:
            _judge(variable, bare, groups)
        elif variable.value.strip():
            path, annotation, from_file = _resolved(variable, bare, groups)
            if pointed.setdefault(path, name) != name:
                raise ConfigurationError(
                    f"{variable.origin(trusted=True)}: {pointed[path]} is set too: keep one of them"
                )
            value = Path(variable.value.strip()) if from_file else _value(variable, annotation)
            yield path, value, variable


def pathway(path: tuple[str, ...]) -> str:
    """Return the variable that sets a field."""
    return PREFIX + "__".join(path).upper()


def _judge(variable: Variable, bare: str, groups: Mapping[str, type[Group]]) -> None:
    """Refuse a name with one underscore that was meant for a field.

    Raises:
        ConfigurationError: It looks like one of our names.
    """
    if _SERVICE_LINK.fullmatch(bare):
        return
    named, _, field = bare.lower().removesuffix(FILE_SUFFIX.lower()).partition("_")
    for group in difflib.get_close_matches(named, groups):
        close = difflib.get_close_matches(field, groups[group].model_fields, n=1, cutoff=_CLOSE)
        if close or not field:
            meant = pathway((group, close[0] if close else "<field>"))
            raise ConfigurationError(
                f"{variable.origin(trusted=True)} sets nothing (did you mean {meant}?)"
            )


def _resolved(
    variable: Variable, bare: str, groups: Mapping[str, type[Group]]
) -> tuple[tuple[str, ...], Any, bool]:
    path = tuple(bare.lower().split("__"))
    group = groups.get(path[0])
    if group is None:
        raise ConfigurationError(
            f"{variable.origin(trusted=True)} sets nothing: there is no group {path[0]!r}"
            f"{hint(path[0], groups)}; names are {PREFIX}<GROUP>__<FIELD>"
        )
    here: Any = group
    for depth, part in enumerate(path[1:], start=1):
        fields = here.model_fields if _is_group(here) else None
        if fields is not None and part not in fields:
            field = part.removesuffix(FILE_SUFFIX.lower())
            if field != part and field in fields and _is_secret(fields[field].annotation):
                return (*path[:depth], field), fields[field].annotation, True
            parents = path[:depth]
            close = hint(part, fields, lambda field: pathway((*parents, field)))  # noqa: B023
            raise ConfigurationError(
                f"{variable.origin(trusted=True)}: there is no such setting{close}"
            )
        here = fields[part].annotation if fields is not None else _values_of(here)
        if here is None:
            raise ConfigurationError(
                f"{variable.origin(trusted=True)}: {pathway(path[:depth])} holds one value"
            )
        here = _inner(here)
    return path, here, False


def _value(variable: Variable, annotation: Any) -> Any:
    """Return a value as pydantic takes it: lists and tables are given as JSON."""
    text = variable.value.strip()
    if not (_is_table(annotation) or _is_group(annotation)):
        return variable.value
    try:
        return json.loads(text)
    except ValueError:
        pass
    field = variable.name.lower().rpartition("__")[2]
    example = _EXAMPLES.get(field, '["..."]' if _values_of(annotation) is None else '{"...": ...}')
    raise ConfigurationError(f"{variable.origin(trusted=True)}: give it as JSON, such as {example}")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return what a field may be: the parts of a union, without None."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    return () if annotation is type(None) else (annotation,)


def _inner(annotation: Any) -> Any:
    """Return the one thing a field may be, where it is one."""
    kinds = _kinds(annotation)
    return kinds[0] if len(kinds) == 1 else annotation


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Group)


def _is_secret(annotation: Any) -> bool:
    return any(isinstance(k, type) and issubclass(k, Secret | Url) for k in _kinds(annotation))


def _is_table(annotation: Any) -> bool:
    return all(
        get_origin(kind) in (tuple, list, dict, set, frozenset) for kind in _kinds(annotation)
    )


def _values_of(annotation: Any) -> Any:
    """Return what a table holds, None for what is no table."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return None
