"""Show what accounts have spent, and set what they may."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.numbers import amount, duration
from agentinfra.cli.running import run_async

if TYPE_CHECKING:
    from agentinfra.db.database import Database
    from agentinfra.llm.money.windows import Per
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "AccountRow", "add_arguments", "run"]

HELP = "show what accounts have spent, and set what they may"
EPILOG = """\
examples:
  agentinfra budgets
  agentinfra budgets acme --usd 7.50 --per day
  agentinfra budgets acme --per day --forgive

What is set here goes before what programs say, and reaches those that run with their next question
to the ledger. `lost` is what processes that died in the middle of calls had held for them: it
counts until its window is over, or is forgiven."""

_DEFAULT = "default"

_ROWS = """
SELECT key, per, usd, set_usd FROM {place}.agentinfra_budgets
WHERE ($1::text IS NULL OR key = $1) ORDER BY key, per
"""
_SPENT = """
SELECT coalesce((SELECT sum(spent) FROM {place}.agentinfra_budget_periods
        WHERE key = $1 AND per = $2 AND period >= $3), 0) AS spent,
    coalesce(sum(amount) FILTER (WHERE expires_at > $4), 0) AS reserved,
    coalesce(sum(amount) FILTER (WHERE expires_at <= $4), 0) AS lost
FROM {place}.agentinfra_budget_leases WHERE key = $1 AND per = $2 AND period >= $3
"""
_SET = """
INSERT INTO {place}.agentinfra_budgets (key, per, set_usd) VALUES ($1, $2, $3)
ON CONFLICT (key, per) DO UPDATE SET set_usd = excluded.set_usd
"""
_FORGIVE = """
UPDATE {place}.agentinfra_budget_leases SET amount = 0, busy = 0
WHERE key = $1 AND per = $2 AND expires_at <= $3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account as the ledger has it, in USD.

    Attributes:
        key: Whose.
        per: Its window.
        limit: The cap that holds; None where no program has named one yet.
        set: Whether an operator has set it.
        spent: What calls of the window cost.
        reserved: What processes hold.
        lost: What processes that died had held for calls under way.
        resets_at: When spending begins to count no more; None where never.
    """

    key: str
    per: str
    limit: Decimal | None
    set: bool
    spent: Decimal
    reserved: Decimal
    lost: Decimal
    resets_at: datetime | None

    @property
    def remaining(self) -> Decimal | None:
        """What is left."""
        if self.limit is None:
            return None
        return max(Decimal(0), self.limit - self.spent - self.reserved - self.lost)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("key", nargs="?", metavar="KEY", help="one account; without it all")
    parser.add_argument(
        "--usd",
        type=_cap,
        metavar="USD",
        help=f"set its cap; {_DEFAULT!r} gives the word back to programs",
    )
    parser.add_argument(
        "--per",
        type=_per,
        default="day",
        metavar="WINDOW",
        help="run, hour, day, month, or a rolling one as 90m or 12h (day)",
    )
    parser.add_argument("--forgive", action="store_true", help="count what was lost no more")
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run(args: argparse.Namespace) -> int:
    """Run the command; 2 where something is to be changed and no key says where."""
    if args.key is None and (args.usd is not None or args.forgive):
        from agentinfra.cli.failing import complain

        complain("give the key of the account to change")
        return 2
    settings = settings_for(args, level="error")
    return run_async(lambda _: _budgets(settings, args))


async def _budgets(settings: Settings, args: argparse.Namespace) -> int:
    from agentinfra.db.database import Database
    from agentinfra.llm.money.windows import Window

    async with Database(settings.database) as db:
        await db.migrate()
        per = Window.of(args.per).name
        if args.usd is not None:
            cap = None if args.usd == _DEFAULT else args.usd
            await db.pool.execute(_SET.format(place=db.server.schema), args.key, per, cap)
        if args.forgive:
            forgiven = _FORGIVE.format(place=db.server.schema)
            await db.pool.execute(forgiven, args.key, per, _moment(time.time()))
        rows = await _rows(db, args.key)
    if args.json:
        print(json.dumps([_plain(row) for row in rows]))
    else:
        _show(rows)
    return 0


async def _rows(db: Database, key: str | None) -> list[AccountRow]:
    from agentinfra.llm.money.windows import Window

    place, now = db.server.schema, time.time()
    found = []
    for row in await db.pool.fetch(_ROWS.format(place=place), key):
        window = Window.named(row["per"])
        spent = await db.pool.fetchrow(
            _SPENT.format(place=place),
            *(row["key"], row["per"], _moment(window.horizon(now)), _moment(now)),
        )
        limit = row["usd"] if row["set_usd"] is None else row["set_usd"]
        found.append(
            AccountRow(
                key=row["key"],
                per=row["per"],
                limit=limit,
                set=row["set_usd"] is not None,
                resets_at=window.resets_at(now),
                **spent,
            )
        )
    return found


def _show(rows: list[AccountRow]) -> None:
    from rich.markup import escape

    from agentinfra.demo.rendering import open_console, plain_table

    if not rows:
        print("no program has asked for an account yet")
        return
    table = plain_table()
    for name in ("account", "per"):
        table.add_column(name)
    for name in ("limit", "spent", "reserved", "lost", "remaining"):
        table.add_column(name, justify="right")
    table.add_column("resets at")
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:f}{' (set)' if row.set else ''}"
        figures = [f"{value:.6f}" for value in (row.spent, row.reserved, row.lost)]
        left = "" if row.remaining is None else f"{row.remaining:.6f}"
        resets = f"{row.resets_at:%Y-%m-%d %H:%M} UTC" if row.resets_at else "never"
        table.add_row(escape(row.key), row.per, limit, *figures, left, resets)
    console = open_console()
    console.print(table)
    console.print("USD", style="dim")


def _plain(row: AccountRow) -> dict[str, Any]:
    values = {**asdict(row), "remaining": row.remaining}
    return {
        name: str(value) if isinstance(value, Decimal | datetime) else value
        for name, value in values.items()
    }


def _cap(text: str) -> Decimal | str:
    return _DEFAULT if text == _DEFAULT else amount(text)


def _per(text: str) -> Per:
    return text if text in ("run", "hour", "day", "month") else duration(text)  # type: ignore[return-value]


def _moment(at: float) -> datetime:
    from datetime import UTC

    return datetime.fromtimestamp(at, UTC)
