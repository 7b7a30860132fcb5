"""The command line: a module for each of its commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from agentinfra import __version__
from agentinfra.cli import demo, doctor, migrate, prices, prune, serve_fake
from agentinfra.cli.failing import outcome_of

__all__ = ["main"]

_COMMANDS: Final = {
    "demo": demo,
    "doctor": doctor,
    "serve-fake": serve_fake,
    "prune": prune,
    "migrate": migrate,
    "prices": prices,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 is success, 1 a failure that one line on standard error explains, 2 a wrong usage, 130 an
    interruption by Ctrl-C.

    Args:
        argv: The arguments; None takes those of the process.
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse has said why
        return leaving.code if isinstance(leaving.code, int) else 2
    if args.command is None:
        parser.print_help()
        return 2
    return outcome_of(lambda: _COMMANDS[args.command].run(args), debug=args.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentinfra",
        description="The infrastructure layer of async LLM agents: one runtime, every resource.",
        epilog="Settings come from the environment and from .env: see .env.example.",
    )
    parser.add_argument("--version", action="version", version=f"agentinfra {__version__}")
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in _COMMANDS.items():
        described = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=described.partition("\n")[0],
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        # Given after the command too; what was given before it must not be reset.
        _add_common(command, default=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show tracebacks of failures"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="log from level info on"
    )
