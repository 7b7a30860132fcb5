"""Run the project from a clean clone: needs Python 3.11 or later with pip, nothing else.

python3 dev.py demo [ARGS]   install into .venv and run `agentinfra demo ARGS`
python3 dev.py test [ARGS]   install into .venv and run the tests
python3 dev.py check         lint, types, docs, benchmarks in their quick form
python3 dev.py lock          renew constraints.txt
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOME = Path(os.environ.get("AGENTINFRA_VENV") or ROOT / ".venv")
BIN = HOME / ("Scripts" if os.name == "nt" else "bin")
CONSTRAINTS = ROOT / "constraints.txt"
DEMO_QUESTION = "What was the revenue in 2025, by country?"
LOCK = "uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11"
LOCK += " --no-header --no-annotate --no-emit-index-url --upgrade -o constraints.txt"


def main() -> int:
    """Do what the first argument says."""
    commands = {"demo": _demo, "test": _test, "check": _check, "lock": _lock}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in commands:
        print(__doc__)
        return 2
    os.chdir(ROOT)
    return commands[name](sys.argv[2:])


def _demo(arguments: list[str]) -> int:
    _install(".[all]")
    return _run(BIN / "agentinfra", "demo", *(arguments or ["--ask", DEMO_QUESTION]))


def _test(arguments: list[str]) -> int:
    _install("-e", ".[all]", "--group", "dev")
    return _run(BIN / "pytest", *(arguments or ["-q", "-n", "auto", "--maxprocesses", "4"]))


def _check(_: list[str]) -> int:
    _install("-e", ".[all]", "--group", "dev")
    steps: list[tuple[str | Path, ...]] = [
        (BIN / "ruff", "check", "."),
        (BIN / "ruff", "format", "--check", "."),
        (BIN / "mypy",),
        (BIN / "mkdocs", "build", "--strict", "--quiet", "--site-dir", HOME / "site"),
        (BIN / "python", "-m", "benchmarks", "--quick"),
    ]
    return max(_run(*step) for step in steps)


def _lock(_: list[str]) -> int:
    _install("uv")
    return _run(BIN / "uv", *LOCK.split()[1:])


def _install(*what: str) -> None:
    """Install into the project's own environment unless that has been done for these files."""
    text = "".join(path.read_text() for path in (ROOT / "pyproject.toml", CONSTRAINTS))
    stamp = HOME / f".installed-{hashlib.sha256((' '.join(what) + text).encode()).hexdigest()[:16]}"
    if stamp.is_file() and "-e" in what:
        return
    for other in HOME.glob(".installed-*"):
        other.unlink()  # what it stands for is about to be replaced
    if not BIN.is_dir():
        venv.create(HOME, with_pip=True)
    pip = [BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for step in (["--upgrade", "pip"], list(what)):
        if _run(*pip, "-c", CONSTRAINTS, *step):
            sys.exit("installing failed: see what pip says above")
    stamp.touch()


def _run(*command: str | Path) -> int:
    print("$", *command, file=sys.stderr, flush=True)
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([str(part) for part in command], check=False, env=environment).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
