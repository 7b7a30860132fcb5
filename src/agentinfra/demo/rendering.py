"""Answers on a terminal, or as plain text where there is none."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from agentinfra.demo.accounts import Account, accounts_of
from agentinfra.demo.trace_tree import cost, milliseconds, trace_tree
from agentinfra.demo.wrapping import Wrapper

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status
    from rich.table import Table

    from agentinfra.demo.answer import Answer

__all__ = ["Screen", "clean", "open_console", "plain_table"]

_PLAIN_WIDTH = 100
_ROWS = 10
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_DOING: Final = {
    "route": "choosing an agent",
    "recall": "looking for a known answer",
    "plan": "writing SQL",
    "query": "asking the database",
    "explain": "reading the rows",
    "retrieve": "searching the documents",
    "quote": "reading the documents",
    "hand_over": "asking the other agent",
    "remember": "writing it down",
}


def open_console(*, stderr: bool = False) -> Console:
    """Return a console; away from a terminal it writes plain text of a fixed width."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH, no_color=True)
    return console


def clean(text: str) -> str:
    """Return a text without the characters that steer a terminal."""
    return _UNPRINTABLE.sub("", text)


class Screen:
    """Shows one question at a time: what is going on, the answer, and what it took.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._speaking: Wrapper | None = None

    def begin(self, question: str, *, echo: bool) -> None:
        """Start with a question; ``echo`` shows it, where nobody has just typed it."""
        if echo:
            self._console.print(f"> {clean(question)}", style="bold", markup=False, soft_wrap=True)
        self.step("route")

    def step(self, node: str) -> None:
        """Show what is going on, until the next step or word."""
        if not self._console.is_terminal or self._speaking:
            return
        doing = f"[dim]{_DOING.get(node, node)} …[/dim]"
        if self._status is None:
            self._status = self._console.status(doing, spinner_style="dim")
            self._status.start()
        else:
            self._status.update(doing)

    def word(self, text: str) -> None:
        """Show a piece of the answer."""
        self._quiet()
        if self._speaking is None:
            # Away from a terminal the lines are whoever reads them's.
            width = self._console.width if self._console.is_terminal else sys.maxsize
            self._speaking = Wrapper(width)
            self._console.print()
        self._write(self._speaking.add(clean(text)))

    def end(self, answer: Answer) -> None:
        """Show the rest: where the answer comes from, and what it took."""
        if self._speaking is None:  # it was known, or nobody could give one
            self.word(answer.answer)
        self.stop()
        self._origin(answer)
        if answer.degraded:
            self._console.print()
            self._console.print(
                f"degraded: {clean(answer.degraded)}", style="yellow", markup=False, soft_wrap=True
            )
        self._console.print()
        self._console.print(_steps(answer, accounts_of(answer.spans)))
        self._console.print()
        title = f"trace {answer.trace_id}, conversation {clean(answer.thread_id)}"
        self._console.print(trace_tree(answer.spans, title=title), soft_wrap=True)
        self._console.print()

    def stop(self) -> None:
        """Leave the line clean, whatever was going on."""
        self._quiet()
        if self._speaking is not None:
            self._write(f"{self._speaking.end()}\n")
        self._speaking = None

    def _write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, soft_wrap=True)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _origin(self, answer: Answer) -> None:
        if answer.sql or answer.sources:
            self._console.print()
        if answer.sql:
            self._sql(answer.sql)
            if answer.rows:
                self._console.print(_rows(answer))
        for source in answer.sources:
            self._console.print(f"  [dim]source[/dim] {_escaped(source)}", soft_wrap=True)

    def _sql(self, sql: str) -> None:
        if not self._console.is_terminal:
            self._console.print(clean(sql), markup=False, soft_wrap=True)
            return
        from rich.padding import Padding
        from rich.syntax import Syntax

        theme, background = "ansi_dark", "default"
        code = Syntax(
            clean(sql), "postgresql", theme=theme, background_color=background, word_wrap=True
        )
        self._console.print(Padding(code, (0, 2)))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(clean(text))


def plain_table(**options: Any) -> Table:
    """Return a table of the quiet kind: a thin line under its head, nothing around it."""
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        border_style="dim",
        footer_style="bold",
        show_edge=False,
        pad_edge=False,
        **options,
    )


def _rows(answer: Answer) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding

    rows = answer.rows[:_ROWS]
    table = plain_table()
    columns = []
    for name in answer.columns:
        values = [row.get(name) for row in rows]
        numeric = any(isinstance(value, int | float) for value in values)
        table.add_column(_escaped(name), justify="right" if numeric else "left")
        columns.append(_cells(values))
    for cells in zip(*columns, strict=True):
        table.add_row(*cells)
    more = _more(len(answer.rows) - len(rows), truncated=answer.truncated)
    shown = Group(table, f"[dim]{more}[/dim]") if more else table
    return Padding(shown, (1, 2, 0, 2), expand=False)


def _more(left: int, *, truncated: bool) -> str:
    if truncated:
        return f"{left} more rows, and others that were not read"
    return f"{left} more rows" if left else ""


def _cells(values: Sequence[Any]) -> list[str]:
    """Return a column's values as text; with one fraction in it, all have two digits of it."""
    fractions = any(isinstance(value, float) for value in values)
    cells = []
    for value in values:
        if value is None:
            cells.append("[dim]none[/dim]")
        elif fractions and isinstance(value, int | float):
            cells.append(f"{value:,.2f}")
        else:
            cells.append(_escaped(str(value)))
    return cells


def _steps(answer: Answer, accounts: Sequence[Account]) -> Table:
    hits = sum(account.cache == "hit" for account in accounts)
    columns: list[tuple[str, str, Callable[[Account], str]]] = [
        ("step", "total", lambda account: account.node),
        ("agent", "", lambda account: account.agent),
        ("time", milliseconds(answer.latency), lambda account: milliseconds(account.latency)),
        ("calls", _number(sum(a.calls for a in accounts)), lambda a: _number(a.calls)),
        ("in", _number(answer.usage.prompt_tokens), lambda a: _number(a.usage.prompt_tokens)),
        (
            "out",
            _number(answer.usage.completion_tokens),
            lambda a: _number(a.usage.completion_tokens),
        ),
        ("cost", cost(answer.cost_usd), lambda a: cost(a.cost_usd) if a.calls else ""),
        ("cache", f"{hits} hit{'s' * (hits != 1)}" if hits else "", lambda account: account.cache),
    ]
    table = plain_table(show_footer=True)
    for name, footer, _ in columns:
        left = name in ("step", "agent", "cache")
        table.add_column(name, footer=footer, justify="left" if left else "right", no_wrap=True)
    for account in accounts:
        table.add_row(*(shown(account) for _, _, shown in columns))
    return table


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
