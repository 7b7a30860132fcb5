"""Where settings come from: each source is read once, into values that know their origin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agentinfra.errors import ConfigurationError
from agentinfra.settings.dotenv_file import read_dotenv
from agentinfra.settings.groups.group import Group
from agentinfra.settings.origins import Origin, Variable
from agentinfra.settings.others import WELL_KNOWN, Others
from agentinfra.settings.ours import PREFIX, our_variables
from agentinfra.settings.refusal import Fault, RefusedError, hint

__all__ = ["PREFIX", "WELL_KNOWN", "Sources", "made", "read_sources"]

G = TypeVar("G", bound=Group)

_Path = tuple[str, ...]

_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What was given, and where.

    Attributes:
        values: Values by group and field, those of each source over those of the ones below.
        trusted: Where each of them stands, by the way to it.
        others: What other tools' variables say, below them.
    """

    values: dict[str, Any] = field(default_factory=dict)
    trusted: dict[_Path, Origin] = field(default_factory=dict)
    others: Others = field(default_factory=lambda: Others({}, {}))

    @property
    def origins(self) -> dict[_Path, Origin]:
        """Where every value stands."""
        return {**self.others.origins, **self.trusted}

    def origin(self, path: _Path) -> tuple[Origin, _Path]:
        """Return where the value at a path was given, and the part of it that the path leads to."""
        origins = self.origins
        for length in range(len(path), 0, -1):
            if path[:length] in origins:
                return origins[path[:length]], path[length:]
        return Origin(name=_argument(path)), ()


def read_sources(
    groups: Mapping[str, type[Group]],
    arguments: Mapping[str, Any],
    *,
    env_file: str | os.PathLike[str] | None,
    environment: Mapping[str, str] = os.environ,
) -> Sources:
    """Read arguments, the environment and a ``.env``.

    Args:
        groups: The groups there are.
        arguments: Groups as dicts, or ready-made.
        env_file: The file; None reads none.
        environment: The variables of the process.

    Raises:
        ConfigurationError: There is no such group or setting, or a source cannot be read.
    """
    values: dict[str, Any] = {}
    trusted: dict[_Path, Origin] = {}
    variables = _variables(env_file, environment)
    for path, value, variable in our_variables(variables, groups):
        _set(values, path, value)
        trusted[path] = variable.origin(trusted=True)
    for name, given in arguments.items():
        if name not in groups:
            raise ConfigurationError(f"Settings has no group {name!r}{hint(name, groups)}")
        _argue(values, trusted, name, given, groups[name])
    others = Others(variables, values)
    others.read()
    return Sources(values=values, trusted=trusted, others=others)


def made(kind: type[G], name: str, sources: Sources) -> G:
    """Make a group of what was given for it.

    What another tool's variable says and the group refuses is left out, with a warning.

    Raises:
        ConfigurationError: A value that was meant for us cannot be used.
    """
    given = sources.values.get(name, {})
    if isinstance(given, kind):
        return given
    while True:
        try:
            group = kind(**_merged(sources.others.values.get(name, {}), given))
            break
        except RefusedError as refused:
            faults = refused.faults
        _leave_out(faults, name, sources)
    needed = sources.others.needed.get(name)
    if needed and getattr(group, "enabled", True):
        raise ConfigurationError(needed)
    return group


def _leave_out(faults: tuple[Fault, ...], name: str, sources: Sources) -> None:
    """Take what was refused out of the values of other tools.

    Raises:
        ConfigurationError: What was refused is not theirs.
    """
    told = []
    for fault in faults:
        if (name, *fault.path[:1]) in sources.others.origins:
            sources.others.leave_out(name, fault.path[0], fault.sentence)
        else:
            origin, part = sources.origin((name, *fault.path))
            told.append(": ".join(filter(None, (str(origin), ".".join(part), fault.sentence))))
    if told:
        raise ConfigurationError("; ".join(told[:_TOLD]))


def _variables(
    env_file: str | os.PathLike[str] | None, environment: Mapping[str, str]
) -> dict[str, Variable]:
    """Return every variable; one of the process hides the file's of the same name."""
    found = {}
    if env_file is not None:
        found = {variable.name: variable for variable in read_dotenv(Path(env_file))}
    found.update((name, Variable(name, value)) for name, value in environment.items())
    return found


def _argue(
    values: dict[str, Any],
    origins: dict[_Path, Origin],
    name: str,
    given: Any,
    kind: type[Group],
) -> None:
    if isinstance(given, kind):
        values[name] = given
        for path in [path for path in origins if path[0] == name]:
            del origins[path]
    elif isinstance(given, Mapping):
        values[name] = _merged(values.get(name, {}), given)
    else:
        raise ConfigurationError(f"Settings({name}): give a dict or {kind.__name__}")
    for each in given.model_fields_set if isinstance(given, kind) else map(str, given):
        origins[name, each] = Origin(name=_argument((name, each)))


def _argument(path: _Path) -> str:
    return f"Settings({'.'.join(path)})"


def _set(values: dict[str, Any], path: _Path, value: Any) -> None:
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        values = inner
    values[path[-1]] = _merged(values.get(path[-1]), value)


def _merged(below: Any, above: Any) -> Any:
    """Return what is above over what is below, table by table."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merged(merged.get(key), value)
    return merged
