"""Shows how far the preparations are, on a terminal; elsewhere nothing."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress"]


class Progress:
    """A line on standard error that is gone when the block ends."""

    def __init__(self) -> None:
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn

        from agentinfra.demo.rendering import open_console

        console = open_console(stderr=True)
        self._bar: Bar = Bar(
            SpinnerColumn(style="dim"),
            TextColumn("[dim]{task.description} …[/dim]"),
            TextColumn("[dim]{task.fields[count]}[/dim]"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, count="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def note(self, what: str) -> None:
        """Say what is being done, for as long as it takes."""
        self._bar.update(self._task, description=what, total=None, count="")

    def count(self, what: str, done: int, total: int) -> None:
        """Say how much of something is done."""
        self._bar.update(
            self._task, description=what, completed=done, total=total, count=f"{done} of {total}"
        )
