"""Where a value comes from, and what became of one that could not be used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Origin", "SettingsWarning", "Variable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a setting was given.

    Attributes:
        name: The variable, or the argument as ``Settings(group.field)``.
        file: The ``.env`` it stands in; empty for the process's environment and for arguments.
        line: The line there, from 1; 0 where there is no file.
        trusted: Whether it was meant for us: a value of ours that cannot be used is an error, one
            of another tool's variables a warning.
    """

    name: str
    file: str = ""
    line: int = 0
    trusted: bool = True

    def __str__(self) -> str:
        return f"{self.name} in {self.file}, line {self.line}" if self.file else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsWarning:
    """What somebody else's variable says, and what is not done for it.

    Attributes:
        resource: The group of settings, which is the resource's name in health.
        field: The field of the group that was not set.
        sentence: What was found and what follows; it repeats no value.
    """

    resource: str
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it stands in the environment or in a file."""

    name: str
    value: str
    file: str = ""
    line: int = 0

    def origin(self, *, trusted: bool) -> Origin:
        """Return where it stands."""
        return Origin(name=self.name, file=self.file, line=self.line, trusted=trusted)
