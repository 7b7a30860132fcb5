"""Make our own tables in the database, or bring them to the newest layout."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.running import run_async

if TYPE_CHECKING:
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "make our tables, or bring them to the newest layout"
EPILOG = """\
examples:
  DATABASE_URL=postgresql://owner@db/shop agentinfra migrate --grant-to app

For users who may not make tables at run time: run it as the owner of the database, and let the
program connect as another user. It is safe to run at any time, and beside running programs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--grant-to", metavar="USER", help="let this user use the tables")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = settings_for(args, level="error")
    return run_async(lambda _: _migrate(settings, args))


async def _migrate(settings: Settings, args: argparse.Namespace) -> int:
    from agentinfra.db.database import Database
    from agentinfra.db.layout import grants

    async with Database(settings.database) as db:
        taken = await db.migrate()
        schema = db.server.layout.schema
        if args.grant_to:
            given = grants(schema, args.grant_to)
            if db.server.embedded:
                given += db.server.role.exceptions_for(args.grant_to)
            await db.execute("; ".join(given))
    if args.json:
        print(json.dumps({"schema": schema, "taken": list(taken), "granted_to": args.grant_to}))
    else:
        steps = ", ".join(taken) or "nothing to do"
        granted = f"; {args.grant_to} may use it" if args.grant_to else ""
        print(f"schema {schema}: {steps}{granted}")
    return 0
