"""What other tools' variables may say, read as their owners read them.

Each reader takes the text, white space around it gone, and returns what it means here.

Raises of every reader:
    ValueError: It means nothing here; the sentence repeats no value.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = [
    "address_of_redis",
    "captures",
    "exporters",
    "is_json",
    "is_on",
    "level",
    "protocol",
    "ratio",
    "sampled",
    "service_name",
]

_ON = frozenset({"1", "true", "yes", "on", "y", "t", "enabled"})
_OFF = frozenset({"0", "false", "no", "off", "n", "f", "disabled", "none"})

_LEVELS = {
    **dict.fromkeys(("trace", "notset", "all", "verbose", "debug", "fine", "finest"), "debug"),
    **dict.fromkeys(("info", "information", "notice", "log"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("err", "error", "severe"), "error"),
    **dict.fromkeys(
        ("critical", "crit", "fatal", "alert", "emerg", "emergency", "panic", "off", "none"),
        "critical",
    ),
    **dict.fromkeys(("silent", "quiet"), "critical"),
}
"""Names of levels in Python, syslog, Rust, Go, Java and JavaScript."""

_NUMBERED = ((10, "debug"), (20, "info"), (30, "warning"), (40, "error"))

_EXPORTERS = {
    "otlp": "otlp",
    "otlp_proto_http": "otlp-http",
    "otlp_proto_grpc": "otlp-grpc",
    "console": "console",
    "logging": "console",
    "none": "none",
}

_RATIOS = {"always_on": 1.0, "always_off": 0.0}


def is_on(text: str) -> bool:
    """Read a switch."""
    word = text.lower()
    if word not in _ON | _OFF:
        raise ValueError("is neither true nor false")
    return word in _ON


def is_json(text: str) -> bool:
    """Read whether logs are JSON: a switch, or the name of a format."""
    word = text.lower()
    if word in ("json", "structured"):
        return True
    if word in ("console", "text", "plain", "pretty", "logfmt", "dev"):
        return False
    return is_on(text)


def level(text: str) -> str:
    """Read a level: a name in any tool's words, or Python's number."""
    first = re.split(r"[,;\s]", text.lower(), maxsplit=1)[0]
    if first.isascii() and first.isdecimal():
        number = int(first[:6])
        return next((name for bound, name in _NUMBERED if number <= bound), "critical")
    if first not in _LEVELS:
        raise ValueError("names no level that is known")
    return _LEVELS[first]


def exporters(text: str) -> list[str]:
    """Read a list of exporters; unknown ones are left out, where one at least is known."""
    named = [word.strip().lower() for word in text.split(",") if word.strip()]
    known = [_EXPORTERS[word] for word in named if word in _EXPORTERS]
    if not known:
        raise ValueError("names no exporter that there is (otlp, console, none)")
    return known


def protocol(text: str) -> str:
    """Read OTLP's protocol as one of our exporters."""
    word = text.lower()
    if word == "grpc":
        return "otlp-grpc"
    if not word.startswith("http"):
        raise ValueError("names no protocol that is known (grpc, http/protobuf)")
    return "otlp-http"


def sampled(sampler: str, argument: str) -> float:
    """Read a sampler and its argument as the share of traces that is kept."""
    kind = sampler.lower().removeprefix("parentbased_")
    if kind in _RATIOS:
        return _RATIOS[kind]
    if kind == "traceidratio":
        return ratio(argument) if argument else 1.0
    if found := re.search(r"initialSamplingRate=([0-9.]+)", argument):
        return ratio(found[1])
    raise ValueError("names no sampler that there is")


def ratio(text: str) -> float:
    """Read a share from 0 to 1."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("is no number from 0 to 1")
    return share


def captures(text: str) -> bool:
    """Read where contents of messages may go, of which spans are one."""
    word = text.lower()
    if word in ("span_only", "span_and_event"):
        return True
    if word in ("no_content", "event_only"):
        return False
    return is_on(text)


def service_name(attributes: str) -> str | None:
    """Find the service's name in the attributes of a resource, None where they name none."""
    for pair in attributes.split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return unquote(value.strip())
    return None


def address_of_redis(text: str) -> str:
    """Read the address of a Redis or Valkey; host and port may stand alone."""
    if re.fullmatch(r"[\w.\-]+(:[0-9]+)?(/[0-9]+)?", text):
        return f"redis://{text}"
    return re.sub(r"^valkey(s?)://", r"redi\1s://", text) if text.startswith("valkey") else text
