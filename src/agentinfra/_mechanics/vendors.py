"""Packages that may be missing, and slow to import: one place that knows both."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from types import ModuleType

from agentinfra._mechanics.in_thread import in_thread
from agentinfra.errors import AgentInfraError

__all__ = ["MissingPackageError", "load", "preload"]

_ONE_AT_A_TIME = threading.Lock()
"""Process-wide on purpose: packages with import cycles break when two threads import them."""


class MissingPackageError(AgentInfraError):
    """A package behind a resource is not installed; the message says how to install it."""


def load(module: str, *, extra: str | None = None) -> ModuleType:
    """Import a vendor's module.

    Args:
        module: Its dotted name.
        extra: The extra of agentinfra that brings it; None for one of the base dependencies.

    Raises:
        MissingPackageError: It, or something it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        what = f"agentinfra[{extra}]" if extra else "agentinfra"
        raise MissingPackageError(
            f"the package {missing!r} is not installed: pip install '{what}'"
        ) from error


async def preload(modules: Iterable[str]) -> dict[str, float]:
    """Import modules in a thread, so that the event loop goes on; missing ones are passed over.

    A cancellation is raised once the import under way is over: a thread cannot be stopped.

    Returns:
        The seconds each import took, of those that were not there yet.
    """
    wanted = [name for name in dict.fromkeys(modules) if name not in sys.modules]
    if not wanted:
        return {}
    stop = threading.Event()
    return await in_thread(partial(_import_all, wanted, stop), on_cancel=stop.set)


def _import_all(names: list[str], stop: threading.Event) -> dict[str, float]:
    took: dict[str, float] = {}
    for name in names:
        with _ONE_AT_A_TIME:
            if stop.is_set():
                break
            began = time.perf_counter()
            try:
                importlib.import_module(name)
            except ImportError:  # load() says so where it is needed
                continue
            took[name] = time.perf_counter() - began
    return took
