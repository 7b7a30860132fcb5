"""Everything a runtime can be told, from arguments, the environment and ``.env``."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agentinfra.errors import ConfigurationError
from agentinfra.settings.groups import (
    CacheSettings,
    CheckpointerSettings,
    DatabaseSettings,
    LLMSettings,
    LoggingSettings,
    MetricsSettings,
    RuntimeSettings,
    TracingSettings,
)
from agentinfra.settings.sources import WellKnownNames, complaint, not_json, unknown_names

__all__ = ["Settings"]


class Settings(BaseSettings):
    """Everything a runtime can be told.

    Each group is given as a nested dict or as its class:
    ``Settings(llm={"base_url": url}, database={"enabled": False})``.

    Raises:
        ConfigurationError: A value cannot be used; the message names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENTINFRA_",
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    llm: LLMSettings = Field(default_factory=LLMSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    checkpointer: CheckpointerSettings = Field(default_factory=CheckpointerSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)

    def __init__(self, **values: Any) -> None:
        unknown = unknown_names(tuple(type(self).model_fields), values)
        if unknown:
            raise ConfigurationError(unknown)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(complaint(error.errors(include_input=False), values)) from None
        except SettingsError as error:
            raise ConfigurationError(not_json() or str(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the well-known names below ours."""
        known = WellKnownNames(settings_cls, env_file=".env")
        return init_settings, env_settings, dotenv_settings, file_secret_settings, known

    @classmethod
    def only(cls, **groups: Any) -> Self:
        """Return settings of arguments alone: neither the environment nor ``.env`` is read.

        Raises:
            ConfigurationError: A value cannot be used.
        """
        try:
            made = {
                name: field.annotation.model_validate(groups.get(name, {}))  # type: ignore[union-attr]
                for name, field in cls.model_fields.items()
            }
        except ValidationError as error:
            raise ConfigurationError(complaint(error.errors(include_input=False), groups)) from None
        return cls.model_construct(**made)

    def with_changes(self, **groups: dict[str, Any]) -> Self:
        """Return a copy with fields changed, as in ``with_changes(llm={"model": "gpt-4o"})``."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        for name, fields in groups.items():
            values[name] = values[name].model_dump() | fields
        return type(self)(**values)
