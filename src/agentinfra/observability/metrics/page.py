"""The page: every series, of this worker and of its siblings, in the order of their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from agentinfra.observability.metrics.cells import Key
from agentinfra.observability.metrics.exposition import (
    buckets,
    exact,
    label_value,
    labels_text,
    number,
    preamble,
    sample,
)
from agentinfra.observability.metrics.series import Exemplar
from agentinfra.observability.semconv import MetricSpec

__all__ = ["Sample", "foreign", "render"]

_JOINED: Final = {"sum": lambda a, b: a + b, "max": max, "min": min}


@dataclass(slots=True)
class Sample:
    """A series' numbers at one moment.

    Attributes:
        key: What it is.
        values: Its numbers.
        exemplars: Traces seen in a histogram's buckets.
    """

    key: Key
    values: list[float]
    exemplars: dict[int, Exemplar] = field(default_factory=dict)


def render(
    specs: Iterable[MetricSpec],
    samples: Iterable[Sample],
    *,
    openmetrics: bool = False,
    created: float = 0.0,
) -> Iterator[str]:
    """Give the lines of the page.

    Args:
        specs: Metrics that are on it without a series too, in their order.
        samples: Series in the order of their metrics; those with one name and labels, of several
            workers, become one.
        openmetrics: Whether it is OpenMetrics 1.0 that is wanted, else the text format 0.0.4.
        created: When the counters began at 0, in seconds since the epoch; OpenMetrics says so.
    """
    heads: dict[str, MetricSpec | Key] = {spec.name: spec for spec in specs}
    families: dict[str, dict[str, Sample]] = {name: {} for name in heads}
    for one in samples:
        heads.setdefault(one.key.name, one.key)
        family = families.setdefault(one.key.name, {})
        known = family.get(one.key.labels)
        if known is None:
            family[one.key.labels] = one
        elif known.key.size == one.key.size:
            join: Any = _JOINED[one.key.across if one.key.kind == "gauge" else "sum"]
            known.values = [join(a, b) for a, b in zip(known.values, one.values, strict=True)]
    for name, family in families.items():
        head = heads[name]
        shown = name.removesuffix("_total") if openmetrics and head.kind == "counter" else name
        yield preamble(shown, head.kind, head.help)
        for one in family.values():
            yield from _lines(one, shown, openmetrics=openmetrics, created=created)
    if openmetrics:
        yield "# EOF"


def _lines(one: Sample, name: str, *, openmetrics: bool, created: float) -> Iterator[str]:
    key = one.key
    if key.kind == "histogram":
        seen = one.exemplars if openmetrics else {}
        yield from buckets(name, key.labels, key.buckets, one.values, seen)
    elif key.kind == "counter" and openmetrics:
        yield sample(f"{name}_total", key.labels, exact(one.values[0], key.decimals))
    else:
        yield sample(name, key.labels, exact(one.values[0], key.decimals))
    if openmetrics and created and key.kind != "gauge":
        yield sample(f"{name}_created", key.labels, f"{created:.3f}")


def foreign(collector: Any) -> Iterator[str]:
    """Give the lines of a collector of aioprometheus's that is a program's own."""
    kind = collector.kind.name
    yield preamble(collector.name, kind, collector.doc)
    for labels, value in collector.get_all():
        named = {str(key): label_value(text) for key, text in (labels or {}).items()}
        if not isinstance(value, dict):
            yield sample(collector.name, labels_text(list(named), named.values()), number(value))
            continue
        edge, suffix = ("le", "_bucket") if kind == "histogram" else ("quantile", "")
        for part, figure in value.items():
            if isinstance(part, float):
                full = {**named, edge: number(part)}
                yield sample(
                    collector.name + suffix, labels_text(list(full), full.values()), number(figure)
                )
            else:
                text = labels_text(list(named), named.values())
                yield sample(f"{collector.name}_{part}", text, number(figure))
