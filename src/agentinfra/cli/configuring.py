"""The settings of a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from agentinfra.cli.failing import complain

if TYPE_CHECKING:
    from agentinfra.settings import Settings

__all__ = ["settings_for"]


def settings_for(
    args: argparse.Namespace, *, level: str = "warning", **groups: dict[str, Any]
) -> Settings:
    """Return the settings of the environment, quieter than those of a service.

    Logs start at ``level``, at info with ``--verbose``; a level somebody has set stays. What other
    tools' variables say and could not be used is told on stderr.

    Args:
        args: The command's arguments.
        level: The lowest level written; ``error`` for a command that tells itself what is wrong.
        groups: What the command changes, by group.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    from agentinfra.settings import Settings

    settings = Settings(**groups)
    for told in settings.warnings:
        complain(told.sentence)
    if args.verbose:
        return settings.with_changes(logging={"level": "info"})
    if "level" in settings.logging.model_fields_set:
        return settings
    return settings.with_changes(logging={"level": level})
