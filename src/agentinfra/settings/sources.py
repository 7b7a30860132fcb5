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
from agentinfra.settings.origins import Origin, SettingsWarning, Variable
from agentinfra.settings.others import INSTEAD, NEEDED, WELL_KNOWN, Others
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
        lenient: What other tools' variables say, below them.
        origins: Where each value stands, by the way to it.
        warnings: What could not be used; grows while groups are made.
    """

    values: dict[str, Any]
    lenient: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[_Path, Origin] = field(default_factory=dict)
    warnings: list[SettingsWarning] = field(default_factory=list)

    def origin(self, path: _Path) -> tuple[Origin, _Path]:
        """Return where the value at a path was given, and the part of it that the path leads to."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]], path[length:]
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
    sources = Sources(values={})
    variables = _variables(env_file, environment)
    for path, value, variable in our_variables(variables, groups):
        _set(sources.values, path, value)
        sources.origins[path] = variable.origin(trusted=True)
    for name, given in arguments.items():
        if name not in groups:
            raise ConfigurationError(f"Settings has no group {name!r}{hint(name, groups)}")
        _argue(sources, name, given, groups[name])
    dicts = {name: given for name, given in sources.values.items() if isinstance(given, dict)}
    others = Others(variables, dicts)
    others.read()
    whole = sources.values.keys() - dicts.keys()
    sources.lenient.update(others.values)
    sources.warnings.extend(told for told in others.warnings if told.resource not in whole)
    for path, origin in others.origins.items():
        if path[0] not in whole:
            sources.origins.setdefault(path, origin)
    return sources


def made(kind: type[G], name: str, sources: Sources) -> G:
    """Make a group of what was given for it.

    What another tool's variable says and the group refuses is left out, with a warning.

    Raises:
        ConfigurationError: A value that was meant for us cannot be used.
    """
    given = sources.values.get(name, {})
    if isinstance(given, kind):
        return given
    others, needed = dict(sources.lenient.get(name, {})), list[str]()
    while True:
        try:
            group = kind(**_merged(others, given))
            break
        except RefusedError as refused:
            faults = refused.faults
        needed += _left_out(faults, name, others, sources)
    if needed and getattr(group, "enabled", True):
        raise ConfigurationError("; ".join(needed))
    return group


def _left_out(
    faults: tuple[Fault, ...], name: str, others: dict[str, Any], sources: Sources
) -> list[str]:
    """Take what was refused out of the values of other tools; return what cannot be done without.

    Raises:
        ConfigurationError: What was refused is not theirs.
    """
    told, needed = [], []
    for fault in faults:
        origin, part = sources.origin((name, *fault.path))
        said = ": ".join(filter(None, (str(origin), ".".join(part), fault.sentence)))
        if origin.trusted:
            told.append(said)
            continue
        field = fault.path[0]
        del others[field], sources.origins[name, field]
        if (name, field) in NEEDED:
            needed.append(said)
        instead = INSTEAD.get((name, field))
        if instead is not None:
            others[instead.field] = instead.value
            sources.origins.setdefault((name, instead.field), origin)
        follows = instead.sentence if instead else "it is not used"
        sources.warnings.append(
            SettingsWarning(resource=name, field=field, sentence=f"{said}; {follows}")
        )
    if told:
        raise ConfigurationError("; ".join(told[:_TOLD]))
    return needed


def _variables(
    env_file: str | os.PathLike[str] | None, environment: Mapping[str, str]
) -> dict[str, Variable]:
    """Return every variable; one of the process hides the file's of the same name."""
    found = {}
    if env_file is not None:
        found = {variable.name: variable for variable in read_dotenv(Path(env_file))}
    found.update((name, Variable(name, value)) for name, value in environment.items())
    return found


def _argue(sources: Sources, name: str, given: Any, kind: type[Group]) -> None:
    if isinstance(given, kind):
        sources.values[name] = given
        for path in [path for path in sources.origins if path[0] == name]:
            del sources.origins[path]
        for each in given.model_fields_set:
            sources.origins[name, each] = Origin(name=_argument((name, each)))
        return
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"Settings({name}): give a dict or {kind.__name__}")
    sources.values[name] = _merged(sources.values.get(name, {}), given)
    for each in map(str, given):
        sources.origins[name, each] = Origin(name=_argument((name, each)))


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
