"""What a block logs, traces and counts."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentinfra.observability.logging import _PIPELINES
from agentinfra.observability.semconv import METRICS

if TYPE_CHECKING:
    from agentinfra.observability.tracing import FinishedSpan
    from agentinfra.runtime import InfraRuntime

__all__ = ["Captured", "capture"]

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True, kw_only=True)
class Captured:
    """What was captured; it is filled while the block runs, ``metrics`` when it ends.

    Attributes:
        events: The log's events in order: ``event``, ``level``, ``logger`` and their fields.
        spans: The spans that ended, in that order.
        metrics: By how much each sample has changed, by its name with labels.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    spans: list[FinishedSpan] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set, repr=False)

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the events of a name."""
        return [found for found in self.events if found["event"] == event]

    def counted(self, name: str, **labels: str) -> float:
        """Return by how much a metric has changed, over all samples that have these labels.

        Raises:
            LookupError: There is no such metric; a misspelt one would not have changed either.
        """
        if name not in self._names:
            close = difflib.get_close_matches(name, self._names, n=3)
            raise LookupError(f"there is no metric {name!r}: {', '.join(close) or 'none like it'}")
        total = 0.0
        for sample, change in self.metrics.items():
            match = _SAMPLE.fullmatch(f"{sample} 0")
            if match and match["name"] == name:
                has = dict(_LABEL.findall(match["labels"] or ""))
                total += change if labels.items() <= has.items() else 0.0
        return total


@contextlib.contextmanager
def capture(runtime: InfraRuntime | None = None) -> Iterator[Captured]:
    """Capture what the running loop's runtime logs, traces and counts in a block.

    Events are those the runtime's log level lets through; they are written all the same.

    Args:
        runtime: An entered runtime; None is the running loop's.

    Raises:
        NotStartedError: There is no runtime on this loop.

    Example:
        with capture(rt) as seen:
            await agent(rt)
        assert seen.named("llm.call_finished")
        assert seen.counted("llm_tokens_total", type="total") > 0
    """
    from agentinfra.runtime import InfraRuntime

    rt = InfraRuntime.current() if runtime is None else runtime
    seen = Captured()
    before = _samples(rt.metrics.expose())
    seen._names |= {spec.name for spec in METRICS} | _names(before)  # noqa: SLF001 - our own class
    unsubscribe = rt.tracing.subscribe(seen.spans.append)
    pipeline = _PIPELINES.current()
    write = pipeline.log

    def keep(level: str, logger: str, event: object, fields: dict[str, Any]) -> None:
        seen.events.append({**fields, "event": event, "level": level, "logger": logger})
        write(level, logger, event, fields)

    pipeline.log = keep
    try:
        yield seen
    finally:
        pipeline.log = write
        unsubscribe()
        after = _samples(rt.metrics.expose())
        seen._names |= _names(after)  # noqa: SLF001 - our own class
        changes = {name: value - before.get(name, 0.0) for name, value in after.items()}
        seen.metrics.update({name: change for name, change in changes.items() if change})


def _names(samples: Mapping[str, float]) -> set[str]:
    return {sample.partition("{")[0] for sample in samples}


def _samples(page: str) -> Mapping[str, float]:
    found = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and name:
            found[name] = float(value)
    return found
