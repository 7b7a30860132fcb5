"""What a benchmark gives: tables for people, and claims that hold or fail."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

__all__ = ["Claim", "Result", "Table", "print_result", "to_json", "versions"]

Cell = str | int | float | None

_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure and the bar it has to clear.

    Attributes:
        name: Lower-case words with underscores or dots, unique in its benchmark.
        value: What was measured.
        op: ``<``, ``<=``, ``==``, ``>=`` or ``>``.
        bar: What it is compared with.
    """

    name: str
    value: float
    op: str
    bar: float

    def __post_init__(self) -> None:
        if self.op not in _OPERATORS:
            raise ValueError(f"claim {self.name}: {self.op!r} is not one of {list(_OPERATORS)}")

    @property
    def holds(self) -> bool:
        """Whether the value clears the bar; one that is not a number never does."""
        return _OPERATORS[self.op](self.value, self.bar)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under column names."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything one benchmark found.

    Attributes:
        name: The benchmark's name.
        versions: Of what was measured, by package.
        tables: The figures.
        claims: What they are said to show.
    """

    name: str
    versions: Mapping[str, str]
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = field(default=())


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, ``missing`` for one that is not there."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def print_result(result: Result) -> None:
    """Print a result as plain text."""
    print(f"== {result.name}")
    print("versions: " + ", ".join(f"{name} {number}" for name, number in result.versions.items()))
    for table in result.tables:
        print(f"\n{table.title}")
        print("\n".join(_lines(table)))
    print()
    for claim in result.claims:
        verdict = "holds" if claim.holds else "fails"
        print(f"claim {claim.name} {_text(claim.value)} {claim.op} {_text(claim.bar)} {verdict}")


def _lines(table: Table) -> list[str]:
    """Return the table's lines: the first column to the left, figures to the right."""
    grid = [list(table.columns), *([_text(cell) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = []
    for row in grid:
        first, *rest = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1_000 else f"{cell:,.0f}"
    return str(cell)


def to_json(result: Result) -> dict[str, Any]:
    """Return a result as what JSON can hold, each claim with its verdict."""
    return {
        "name": result.name,
        "versions": dict(result.versions),
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [list(row) for row in table.rows],
            }
            for table in result.tables
        ],
        "claims": [{**asdict(claim), "holds": claim.holds} for claim in result.claims],
    }
