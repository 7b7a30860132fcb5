"""The public contract, where it lies beside the project: the names and shapes others rely on."""

import asyncio
import importlib.util
import inspect
import os
import sys
from pathlib import Path

import pytest

CONTRACT = Path(__file__).parents[2] / "shared" / "contract" / "test_contract.py"


def _run(main):
    """Run a coroutine, or the function that makes one.

    The contract's own ``run`` calls what it is given, and is given coroutines.
    """
    return asyncio.run(main() if inspect.iscoroutinefunction(main) else main)


def _load():
    specification = importlib.util.spec_from_file_location("public_contract", CONTRACT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.run = _run
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


if not CONTRACT.is_file():
    pytest.skip("no contract beside the project", allow_module_level=True)

globals().update(_load())


@pytest.fixture(autouse=True)
def commands_are_found(monkeypatch):
    """Let `agentinfra` be the command of this environment."""
    bin_folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
