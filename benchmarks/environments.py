"""Environments of their own for peers whose packages do not go together with ours."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

__all__ = ["environment"]


def environment(name: str, packages: Sequence[str]) -> str:
    """Return the Python of a peer's environment, made on first use."""
    home = Path(tempfile.gettempdir()) / "agentinfra-benchmarks" / name
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print(f"installing {name} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (home / "ready").touch()
    return str(python)
