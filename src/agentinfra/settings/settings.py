"""Everything a runtime can be told, from arguments, the environment and ``.env``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from agentinfra.settings.groups import (
    BudgetsSettings,
    CacheSettings,
    CheckpointerSettings,
    DatabaseSettings,
    LLMSettings,
    LoggingSettings,
    MetricsSettings,
    RuntimeSettings,
    StoreSettings,
    TracingSettings,
)
from agentinfra.settings.groups.group import Group
from agentinfra.settings.origins import Origin, SettingsWarning
from agentinfra.settings.sources import Sources, made, read_sources

__all__ = ["Settings"]


class Settings(BaseModel):
    """Everything a runtime can be told.

    Each group is given as a nested dict or as its class:
    ``Settings(llm={"base_url": url}, database={"enabled": False})``. What a dict leaves open is
    taken from the environment and from ``.env``; a class is taken as it is.

    Two settings are equal when their groups are, wherever the values come from.

    Args:
        groups: The groups, by name; ``_env_file`` names another file than ``.env``, or None.

    Raises:
        ConfigurationError: A value cannot be used; the message names where it stands.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    llm: LLMSettings = Field(default_factory=LLMSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    checkpointer: CheckpointerSettings = Field(default_factory=CheckpointerSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    budgets: BudgetsSettings = Field(default_factory=BudgetsSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)

    _origins: dict[tuple[str, ...], Origin] = PrivateAttr(default_factory=dict)
    _warnings: tuple[SettingsWarning, ...] = PrivateAttr(default=())

    def __init__(self, **groups: Any) -> None:
        env_file = groups.pop("_env_file", ".env")
        sources = read_sources(_GROUPS, groups, env_file=env_file)
        super().__init__(**_all_made(sources))
        self._remember(sources, sources.others.warnings)

    @classmethod
    def only(cls, **groups: Any) -> Self:
        """Return settings of arguments alone: neither the environment nor ``.env`` is read.

        Raises:
            ConfigurationError: A value cannot be used.
        """
        return cls._of(read_sources(_GROUPS, groups, env_file=None, environment={}))

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each value that is no default was given, as ``llm.api_key``."""
        return MappingProxyType({".".join(path): at for path, at in self._origins.items()})

    @property
    def warnings(self) -> tuple[SettingsWarning, ...]:
        """What other tools' variables say and could not be used, by resource."""
        return self._warnings

    def with_changes(self, **groups: dict[str, Any]) -> Self:
        """Return a copy with fields changed, as in ``with_changes(llm={"model": "gpt-4o"})``.

        Nothing is read again; what is not changed keeps its origin.

        Raises:
            ConfigurationError: A value cannot be used.
        """
        changes = read_sources(_GROUPS, groups, env_file=None, environment={})
        values: dict[str, Any] = {}
        for name in _GROUPS:
            group, changed = getattr(self, name), changes.values.get(name, {})
            values[name] = changed
            if isinstance(changed, dict):
                values[name] = {f: getattr(group, f) for f in group.model_fields_set} | changed
        return self._of(
            Sources(values=values, trusted={**self._origins, **changes.trusted}),
            [told for told in self._warnings if (told.resource, told.field) not in changes.trusted],
        )

    @classmethod
    def _of(cls, sources: Sources, warnings: Iterable[SettingsWarning] = ()) -> Self:
        settings = cls.model_construct(**_all_made(sources))
        settings._remember(sources, warnings)  # noqa: SLF001 - one of ours, just made
        return settings

    def _remember(self, sources: Sources, warnings: Iterable[SettingsWarning]) -> None:
        self._origins = sources.origins
        off = {name for name in _GROUPS if not getattr(getattr(self, name), "enabled", True)}
        self._warnings = tuple(told for told in warnings if told.resource not in off)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _GROUPS)


def _all_made(sources: Sources) -> dict[str, Any]:
    return {name: made(kind, name, sources) for name, kind in _GROUPS.items()}


_GROUPS: Final[Mapping[str, type[Group]]] = {
    name: info.annotation
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Group)
}
