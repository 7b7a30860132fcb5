"""The Prometheus text format 0.0.4: names, label values and numbers as its readers want them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from agentinfra.observability.redaction import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CONTENT_TYPE",
    "is_label_name",
    "is_metric_name",
    "label_value",
    "labels_text",
    "number",
    "preamble",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


def is_metric_name(name: str) -> bool:
    """Return whether a metric may have this name."""
    return _METRIC_NAME.fullmatch(name) is not None


def is_label_name(name: str) -> bool:
    """Return whether a label may have this name."""
    return _LABEL_NAME.fullmatch(name) is not None


def label_value(value: object) -> str:
    """Return a label's value as text that UTF-8 can carry."""
    text = str(value)
    return text if text.isascii() else encodable(text)


def labels_text(names: Sequence[str], values: Iterable[str]) -> str:
    """Return labels without their braces, as in ``model="gpt-4o",type="prompt"``."""
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )


def number(value: float) -> str:
    """Return a sample's value; whole numbers without a fraction."""
    if math.isfinite(value):
        whole = int(value)
        return str(whole) if whole == value and abs(whole) < 2**53 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def preamble(name: str, kind: str, text: str) -> str:
    """Return the two lines above a metric's samples."""
    clean = label_value(text).replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {clean}\n# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
