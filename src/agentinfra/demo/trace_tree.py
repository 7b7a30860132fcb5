"""A trace as a tree, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentinfra.observability import semconv

if TYPE_CHECKING:
    from rich.tree import Tree

    from agentinfra.observability.tracing import FinishedSpan

__all__ = ["cost", "milliseconds", "trace_tree"]

_SMALLEST = 0.000001


def trace_tree(spans: Sequence[FinishedSpan], *, title: str) -> Tree:
    """Return the spans of one trace as a tree, each under the one it ran in.

    Args:
        spans: The spans.
        title: What stands at its root.
    """
    from rich.text import Text
    from rich.tree import Tree

    known = {span.span_id for span in spans}
    inside: dict[str | None, list[FinishedSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        parent = span.parent_id if span.parent_id in known else None
        inside.setdefault(parent, []).append(span)
    root = Tree(Text(title, style="dim"), guide_style="dim")

    def grow(branch: Tree, parent: str | None) -> None:
        for span in inside.get(parent, ()):
            grow(branch.add(_label(span)), span.span_id)

    grow(root, None)
    return root


def milliseconds(seconds: float) -> str:
    """Return a duration as people read it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"


def cost(usd: float | None) -> str:
    """Return an amount of money, to the digits that matter."""
    if usd is None:
        return "unknown"
    if usd == 0:
        return "$0"
    return f"${usd:.6f}" if usd >= _SMALLEST else f"<${_SMALLEST:.6f}"


def _label(span: FinishedSpan) -> Any:
    from rich.text import Text

    name = span.name.removeprefix(f"{semconv.SPAN_NODE} ")
    label = Text.assemble((name, "" if span.error is None else "red"), "  ")
    label.append(milliseconds(span.duration), style="cyan")
    for detail in _details(span.attributes):
        label.append(f"  {detail}", style="dim")
    if span.error is not None:
        label.append(f"  {span.error[:120]}", style="red")
    return label


def _details(attributes: Mapping[str, Any]) -> Iterator[str]:
    if semconv.AGENT_NAME in attributes:
        yield str(attributes[semconv.AGENT_NAME])
    if semconv.INPUT_TOKENS in attributes:
        tokens = f"{attributes[semconv.INPUT_TOKENS]}"
        if semconv.OUTPUT_TOKENS in attributes:
            tokens += f" + {attributes[semconv.OUTPUT_TOKENS]}"
        yield f"{tokens} tokens"
    if semconv.COST_USD in attributes:
        yield cost(float(attributes[semconv.COST_USD]))
    if semconv.CACHE_HIT in attributes:
        yield "cache hit" if attributes[semconv.CACHE_HIT] else "cache miss"
    if semconv.DB_ROWS in attributes:
        rows = attributes[semconv.DB_ROWS]
        yield f"{rows} row" if rows == 1 else f"{rows} rows"
    if semconv.DEGRADED in attributes:
        yield f"degraded: {attributes[semconv.DEGRADED]}"
