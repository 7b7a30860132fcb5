"""How settings meet the environment: the names people already have set, and clear complaints."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

__all__ = ["WELL_KNOWN", "WellKnownNames", "complaint", "not_json", "unknown_names"]

PREFIX = "AGENTINFRA_"

WELL_KNOWN: Mapping[str, tuple[str, str]] = {
    "OPENAI_API_KEY": ("llm", "api_key"),
    "OPENAI_BASE_URL": ("llm", "base_url"),
    "OPENAI_ORG_ID": ("llm", "organization"),
    "OPENAI_PROJECT_ID": ("llm", "project"),
    "OPENAI_API_VERSION": ("llm", "api_version"),
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("cache", "redis_url"),
    "STRUCTLOG_JSON": ("logging", "json_output"),
    "LOG_LEVEL": ("logging", "level"),
    "OTEL_SERVICE_NAME": ("tracing", "service_name"),
    "OTEL_SDK_DISABLED": ("tracing", "enabled"),
    "OTEL_TRACES_EXPORTER": ("tracing", "exporter"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing", "endpoint"),
    "OTEL_TRACES_SAMPLER_ARG": ("tracing", "sample_ratio"),
    "OTEL_BSP_MAX_QUEUE_SIZE": ("tracing", "max_queue"),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ("tracing", "capture_content"),
}
"""Variables other tools read too, and the field each sets where ours is not set."""

_TABLES = {
    "PRICES": '{"my-model": {"input": 1.5, "output": 6}}',
    "ENDPOINTS": '{"backup": {"base_url": "https://..."}}',
    "FALLBACK_MODELS": '["gpt-4o"]',
    "REDACT": '["account_number"]',
    "REQUIRED": '["database"]',
}
"""Fields that hold more than one value, and what that looks like in a variable."""

_EXPORTERS = {"otlp": "otlp-http", "console": "console", "none": "none"}
_TRUE = frozenset({"1", "true", "yes", "on"})


class WellKnownNames(PydanticBaseSettingsSource):
    """Reads the variables of :data:`WELL_KNOWN` from the environment and from ``.env``."""

    def __init__(self, settings_cls: type[BaseSettings], *, env_file: str) -> None:
        super().__init__(settings_cls)
        self._file = Path(env_file)

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        """Give nothing field by field; :meth:`__call__` gives all at once."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what is set, as nested dicts."""
        found: dict[str, dict[str, Any]] = {}
        values = _read(self._file)
        for name, (group, field) in WELL_KNOWN.items():
            if values.get(name):
                found.setdefault(group, {})[field] = _translated(name, str(values[name]), values)
        if "endpoint" in found.get("tracing", {}):
            found["tracing"].setdefault("exporter", _protocol(values))
        return found


def _read(file: Path) -> dict[str, str | None]:
    return {**(dotenv_values(file) if file.is_file() else {}), **os.environ}


def _translated(name: str, value: str, values: Mapping[str, str | None]) -> Any:
    if name == "OTEL_SDK_DISABLED":
        return value.strip().lower() not in _TRUE
    if name == "OTEL_TRACES_EXPORTER":
        return _protocol(values) if value == "otlp" else _EXPORTERS.get(value, value)
    return value


def _protocol(values: Mapping[str, str | None]) -> str:
    return "otlp-grpc" if values.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" else "otlp-http"


def unknown_names(groups: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return a complaint about names that set nothing; empty when there are none.

    Args:
        groups: The groups there are.
        values: The arguments given to ``Settings``.
    """
    for name in values:
        if name not in groups and not name.startswith("_"):
            return f"Settings has no group {name!r}{_hint(name, groups)}"
    for variable in os.environ:
        if variable.upper().startswith(PREFIX):
            group, separator, _ = variable[len(PREFIX) :].lower().partition("__")
            if group not in groups or not separator:
                return (
                    f"the environment variable {variable} sets nothing{_hint(group, groups)}; "
                    f"names are {PREFIX}<GROUP>__<FIELD>"
                )
    return ""


def not_json() -> str:
    """Return a complaint about the first variable of ours whose list or table is not JSON."""
    for variable, value in os.environ.items():
        if variable.upper().startswith(PREFIX) and not value.strip().startswith(("[", "{", '"')):
            field = variable.upper().rpartition("__")[2]
            if field in _TABLES:
                return f"{variable}: give it as JSON, such as {_TABLES[field]}"
    return ""


def complaint(errors: Sequence[Any], values: Mapping[str, Any]) -> str:
    """Return one line that names each bad value's variable and says what is wrong.

    Values are not repeated: any of them may be a secret.
    """
    return "; ".join(f"{_origin(error['loc'], values)}: {_sentence(error)}" for error in errors[:3])


def _origin(location: Sequence[str | int], values: Mapping[str, Any]) -> str:
    group, field = (str(part) for part in (*location, "")[:2])
    given = values.get(group)
    if given is not None and (not isinstance(given, Mapping) or field in given):
        return f"Settings({group}.{field})" if field else f"Settings({group})"
    ours = f"{PREFIX}{group}__{field}".upper()
    if any(name.upper() == ours for name in os.environ):
        return ours
    for name, target in WELL_KNOWN.items():
        if target == (group, field) and os.environ.get(name):
            return name
    return f"{ours} (in .env)" if Path(".env").is_file() else f"Settings({group}.{field})"


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such setting"
    return str(error["msg"]).removeprefix("Value error, ")


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (there are {', '.join(known)})"
