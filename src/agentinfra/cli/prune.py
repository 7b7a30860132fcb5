"""Drop aged conversations, and where told to, what lies behind the newest checkpoints of others."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.failing import complain
from agentinfra.cli.numbers import duration, whole
from agentinfra.cli.running import run_async
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.checkpoint.checkpointer import PruneResult
    from agentinfra.settings import Settings

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "drop aged conversations, or shorten long ones"
EPILOG = """\
examples:
  agentinfra prune --older-than 30d --dry-run
  agentinfra prune --older-than 30d --keep-last 3

What is not given is taken from AGENTINFRA_CHECKPOINTER__RETENTION_DAYS and
AGENTINFRA_CHECKPOINTER__KEEP_LAST where they are set. Where neither says so, nothing is dropped
and no conversation is shortened. Graphs may run meanwhile."""

_ALL: Final = 1_000_000_000
"""More checkpoints than a conversation has: none is shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    older_than: float | None
    keep_last: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="AGE",
        help="drop conversations without a checkpoint for so long: 30d, 12h, 2w",
    )
    parser.add_argument(
        "--keep-last",
        type=whole("a number of checkpoints", least=1, most=_ALL),
        metavar="N",
        help="shorten the other conversations to their newest N checkpoints",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and drop nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; 2 where nobody has said what is to be dropped."""
    # Models and caches have no part in it.
    settings = settings_for(args, llm={"enabled": False}, cache={"enabled": False})
    policy = _policy(settings, args)
    if policy is None:
        complain(
            "nothing was pruned, since nothing says what may go: give --older-than 30d or "
            "--keep-last 3, or set AGENTINFRA_CHECKPOINTER__RETENTION_DAYS or "
            "AGENTINFRA_CHECKPOINTER__KEEP_LAST"
        )
        return 2
    return run_async(lambda _: _prune(settings, policy, args))


def _policy(settings: Settings, args: argparse.Namespace) -> _Policy | None:
    """Return what is to be dropped, as far as somebody has said so; None where nobody has.

    A default is nobody's word: what a conversation loses cannot be brought back.
    """
    group = settings.checkpointer
    said = group.model_fields_set
    keep = group.keep_last if args.keep_last is None and "keep_last" in said else args.keep_last
    if args.older_than is None and group.retention_days is None and keep is None:
        return None
    return _Policy(older_than=args.older_than, keep_last=_ALL if keep is None else keep)


async def _prune(settings: Settings, policy: _Policy, args: argparse.Namespace) -> int:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as rt:
        checkpoints = rt.checkpoints
        if checkpoints.state != "ready" or settings.checkpointer.backend != "postgres":
            reason = checkpoints.reason or "checkpoints are kept in memory"
            raise CheckpointError(f"there is nothing to prune: {reason}")
        result = await checkpoints.prune(policy.older_than, policy.keep_last, dry_run=args.dry_run)
    if args.json:
        print(json.dumps({**asdict(result), "dry_run": args.dry_run}))
    else:
        print(_sentence(result, dry_run=args.dry_run))
    return 0


def _sentence(result: PruneResult, *, dry_run: bool) -> str:
    if not result.checkpoints and not result.writes and not result.blobs:
        return "nothing has aged"
    verb = "would drop" if dry_run else "dropped"
    return (
        f"{verb} {result.checkpoints:,} checkpoints of {result.threads:,} conversations, "
        f"{result.writes:,} writes and {result.blobs:,} values"
    )
