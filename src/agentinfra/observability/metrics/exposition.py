"""The Prometheus text format and OpenMetrics: names, labels and numbers as readers want them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentinfra.observability.redaction import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "CONTENT_TYPE",
    "OPENMETRICS_TYPE",
    "buckets",
    "exact",
    "is_label_name",
    "is_metric_name",
    "label_value",
    "labels_text",
    "number",
    "preamble",
    "sample",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

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


def sample(name: str, labels: str, value: str) -> str:
    """Return the line of one number."""
    return f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def exact(units: float, decimals: int) -> str:
    """Return a number that is kept in whole units of its last digit."""
    if not decimals:
        return number(units)
    text = f"{Decimal(int(units)).scaleb(-decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def buckets(
    name: str,
    labels: str,
    bounds: Sequence[float],
    values: Sequence[float],
    exemplars: Mapping[int, tuple[str, float, float]] = MappingProxyType({}),
) -> Iterator[str]:
    """Give the lines of a histogram.

    Args:
        name: The metric.
        labels: The labels, without braces.
        bounds: The buckets' upper bounds, ascending, without infinity.
        values: How many fell into each bucket alone, the one without a bound too, then their sum.
        exemplars: Traces to show beside buckets, by the bucket's number; OpenMetrics only.
    """
    before = f"{labels}," if labels else ""
    running = 0
    for place, bound in enumerate((*bounds, math.inf)):
        running += int(values[place])
        edge = "+Inf" if bound == math.inf else repr(bound)
        line = sample(f"{name}_bucket", f'{before}le="{edge}"', str(running))
        seen = exemplars.get(place)
        if seen is not None:
            line += f' # {{trace_id="{seen[0]}"}} {number(seen[1])} {seen[2]:.3f}'
        yield line
    yield sample(f"{name}_sum", labels, number(values[-1]))
    yield sample(f"{name}_count", labels, str(running))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
