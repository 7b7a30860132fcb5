"""The variables of other tools that people already have set, read leniently.

They were not set for us: what we cannot read is a warning, and never stops a program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agentinfra.settings import lenient
from agentinfra.settings.groups.group import Group
from agentinfra.settings.origins import Origin, SettingsWarning, Variable
from agentinfra.settings.ours import FILE_SUFFIX
from agentinfra.settings.secret import text_of

__all__ = ["INSTEAD", "NEEDED", "WELL_KNOWN", "Instead", "Others"]

_Field = tuple[str, str]

WELL_KNOWN: Mapping[str, _Field] = {
    "OPENAI_API_KEY": ("llm", "api_key"),
    "OPENAI_BASE_URL": ("llm", "base_url"),
    "OPENAI_ORG_ID": ("llm", "organization"),
    "OPENAI_PROJECT_ID": ("llm", "project"),
    "AZURE_OPENAI_API_KEY": ("llm", "api_key"),
    "AZURE_OPENAI_ENDPOINT": ("llm", "base_url"),
    "OPENAI_API_VERSION": ("llm", "api_version"),
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("cache", "redis_url"),
    "STRUCTLOG_JSON": ("logging", "json_output"),
    "LOG_LEVEL": ("logging", "level"),
    "OTEL_SERVICE_NAME": ("tracing", "service_name"),
    "OTEL_RESOURCE_ATTRIBUTES": ("tracing", "service_name"),
    "OTEL_SDK_DISABLED": ("tracing", "enabled"),
    "OTEL_TRACES_EXPORTER": ("tracing", "exporter"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("tracing", "exporter"),
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ("tracing", "exporter"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing", "endpoint"),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("tracing", "endpoint"),
    "OTEL_TRACES_SAMPLER": ("tracing", "sample_ratio"),
    "OTEL_TRACES_SAMPLER_ARG": ("tracing", "sample_ratio"),
    "OTEL_BSP_MAX_QUEUE_SIZE": ("tracing", "max_queue"),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ("tracing", "capture_content"),
}
"""Variables other tools read too, and the field each sets where ours is not set."""


class Instead(NamedTuple):
    """What is set in place of a value: nothing goes elsewhere for want of an address."""

    field: str
    value: Any
    sentence: str


INSTEAD: Mapping[_Field, Instead] = {
    ("database", "url"): Instead(
        "embedded",
        False,  # noqa: FBT003 - a value, whose name stands beside it
        "no embedded server is started in its place",
    ),
    ("llm", "base_url"): Instead("api_version", None, "it is not used"),
    ("tracing", "endpoint"): Instead("exporter", "none", "spans are not exported"),
    ("tracing", "exporter"): Instead("exporter", "none", "spans are not exported"),
}
"""What is set where these cannot be used."""

NEEDED = frozenset({("llm", "base_url")})
"""What is an error all the same: it is nobody's but a model client's, and OpenAI's own address in
its place would be sent what another server was to see."""

_FROM_FILES = frozenset({"api_key", "base_url", "url", "redis_url", "endpoint"})
"""Fields that hold secrets, whose variables may name a file instead."""

_AZURE_HOST = re.compile(r"https?://[^/?#]*\.azure(-api)?\.(com|net|us|cn)(:\d+)?(?!.*/openai/v1)")


class Others:
    """Reads the variables of other tools.

    Args:
        variables: All there are, by name.
        given: What is set by us or by arguments already, by group: its fields, or the group made.

    Attributes:
        values: What they say, by group and field.
        origins: Where each stands.
        warnings: What was left out.
        needed: By group, what was left out that nothing can take the place of.
    """

    def __init__(self, variables: Mapping[str, Variable], given: Mapping[str, Any]) -> None:
        self._variables = variables
        self._given = given
        self.values: dict[str, dict[str, Any]] = {}
        self.origins: dict[tuple[str, ...], Origin] = {}
        self.warnings: list[SettingsWarning] = []
        self.needed: dict[str, str] = {}

    def read(self) -> None:
        """Read them all."""
        self._llm()
        self._take("DATABASE_URL")
        self._take("REDIS_URL", lenient.address_of_redis)
        self._take("STRUCTLOG_JSON", lenient.is_json)
        self._take("LOG_LEVEL", lenient.level)
        self._tracing()

    def _llm(self) -> None:
        given = self._given.get("llm", {})
        if isinstance(given, Group):
            return
        azure = not {"api_key", "base_url"} & given.keys() and all(
            map(self._find, ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"))
        )
        # One service's key never goes to the other's address.
        if azure and not self._find("OPENAI_BASE_URL"):
            self._take("AZURE_OPENAI_API_KEY")
            self._take("OPENAI_API_VERSION")
            self._take("AZURE_OPENAI_ENDPOINT", self._azure)
            return
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            self._take(name)
        address = str(given.get("base_url") or self.values.get("llm", {}).get("base_url") or "")
        if _AZURE_HOST.match(address):
            self._take("OPENAI_API_VERSION")

    def _azure(self, endpoint: str) -> str:
        """Return where Azure's resource is; without a version it is asked as OpenAI is."""
        if self._find("OPENAI_API_VERSION") or "api_version" in self._given.get("llm", {}):
            return endpoint
        place = endpoint.rstrip("/")
        return place if place.endswith("/v1") else f"{place}/openai/v1"

    def _tracing(self) -> None:
        self._take("OTEL_SDK_DISABLED", lambda text: not lenient.is_on(text))
        self._take("OTEL_BSP_MAX_QUEUE_SIZE")
        self._take("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", lenient.captures)
        if not self._take("OTEL_SERVICE_NAME"):
            self._take("OTEL_RESOURCE_ATTRIBUTES", lenient.service_name)
        sampler = self._find("OTEL_TRACES_SAMPLER")
        argument = self._find("OTEL_TRACES_SAMPLER_ARG")
        if sampler:
            told = argument.value.strip() if argument else ""
            self._take("OTEL_TRACES_SAMPLER", lambda text: lenient.sampled(text, told))
        else:
            self._take("OTEL_TRACES_SAMPLER_ARG", lenient.ratio)
        endpoint = self._first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        if self._find("OTEL_TRACES_EXPORTER"):
            self._take("OTEL_TRACES_EXPORTER", self._exporter)
        elif endpoint:
            self._put(endpoint, self._protocol(), field="exporter")
        if endpoint:
            self._take(endpoint)  # after the exporter, which goes where it cannot be used

    def _exporter(self, text: str) -> str:
        known = lenient.exporters(text)
        if len(known) < text.count(",") + 1 or len(set(known)) > 1:
            self._warn("OTEL_TRACES_EXPORTER", f"names several exporters: {known[0]} is used")
        return self._protocol() if known[0] == "otlp" else known[0]

    def _protocol(self) -> str:
        name = self._first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        try:
            return lenient.protocol(self._variables[name].value.strip()) if name else "otlp-http"
        except ValueError as error:
            self._warn(name, f"{error}: http/protobuf is used")
            return "otlp-http"

    def leave_out(self, group: str, field: str, sentence: str) -> None:
        """Take a value out again, which is not used for a reason, and warn of it."""
        origin = self.origins.pop((group, field))
        del self.values[group][field]
        said = f"{origin}: {sentence}"
        if (group, field) in NEEDED:
            self.needed[group] = said
        instead = INSTEAD.get((group, field))
        if instead is not None and not self._is_given(group, instead.field):
            self.values[group][instead.field] = instead.value
            self.origins[group, instead.field] = origin
        follows = "it is not used" if instead is None else instead.sentence
        told = SettingsWarning(resource=group, field=field, sentence=f"{said}; {follows}")
        self.warnings.append(told)

    def _take(self, name: str, reader: Callable[[str], Any] = str) -> bool:
        """Read a variable, or the file that ``NAME_FILE`` names; say whether it gave a value."""
        variable = self._find(name)
        group, field = WELL_KNOWN[name]
        if variable is None or self._is_given(group, field):
            return False
        try:
            source = Path(variable.value.strip()) if variable.name != name else variable.value
            value = reader(text_of(source))
        except ValueError as error:
            self._put(name, None)
            self.leave_out(group, field, str(error))
            return False
        if value is not None:
            self._put(name, value)
        return value is not None

    def _put(self, name: str, value: Any, *, field: str = "") -> None:
        group, own = WELL_KNOWN[name]
        variable = self._find(name)
        if variable is not None and not self._is_given(group, field or own):
            self.values.setdefault(group, {})[field or own] = value
            self.origins[group, field or own] = variable.origin(trusted=False)

    def _is_given(self, group: str, field: str) -> bool:
        given = self._given.get(group, {})
        return isinstance(given, Group) or field in given

    def _find(self, name: str) -> Variable | None:
        """Return the variable that is set, of a name and the one that names a file instead."""
        in_file = WELL_KNOWN[name][1] in _FROM_FILES
        for each in (name, name + FILE_SUFFIX) if in_file else (name,):
            found = self._variables.get(each)
            if found is not None and found.value.strip():
                return found
        return None

    def _first(self, *names: str) -> str:
        return next((name for name in names if self._find(name)), "")

    def _warn(self, name: str, sentence: str) -> None:
        """Warn of a variable that is used only in part."""
        group, field = WELL_KNOWN[name]
        variable = self._find(name)
        if variable is not None and not self._is_given(group, field):
            said = f"{variable.origin(trusted=False)}: {sentence}"
            self.warnings.append(SettingsWarning(resource=group, field=field, sentence=said))
