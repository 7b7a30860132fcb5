"""Packages that may be missing, broken, and slow to import: one place that knows all three."""

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

_LONGEST_COMPLAINT = 200

_NOBODY = {"", "__main__", "agentinfra", "importlib", *sys.stdlib_module_names}
"""What runs while packages are imported, and is not the one that is broken."""


class MissingPackageError(AgentInfraError):
    """A package behind a resource cannot be used; the message says what to install."""


def load(module: str, *, extra: str | None = None) -> ModuleType:
    """Import a vendor's module.

    Args:
        module: Its dotted name.
        extra: The extra of agentinfra that brings it; None for one of the base dependencies.

    Raises:
        MissingPackageError: It, or something it needs, is not installed, or is installed and
            fails while it is imported.
    """
    what = f"agentinfra[{extra}]" if extra else "agentinfra"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise MissingPackageError(
            f"the package {missing!r} is not installed: pip install '{what}'"
        ) from error
    except Exception as error:
        # Versions that do not fit (protobuf's TypeError, a missing name), a library of the system
        # that is not there (OSError): whatever a package raises, only its resource goes without.
        broken = _package_of(module, error)
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_COMPLAINT]
        raise MissingPackageError(
            f"the package {broken!r} is installed and cannot be imported ({said}): "
            f"pip install --upgrade --force-reinstall {broken} '{what}'"
        ) from error


def _package_of(module: str, error: Exception) -> str:
    """Return the package to name: the innermost that ran, for one imports others."""
    found = module.partition(".")[0]
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in _NOBODY:
            found = name
        trace = trace.tb_next
    return found


async def preload(modules: Iterable[str]) -> dict[str, float]:
    """Import modules in a thread, so that the event loop goes on; what fails is passed over.

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
            except Exception:  # noqa: BLE001, S112 - load() says so where it is needed
                continue
            took[name] = time.perf_counter() - began
    return took
