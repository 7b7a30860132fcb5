"""Put the clients that others wrote through the faults, beside ours, each in an environment.

``python tests/interop/resilience.py`` installs each together with this project into a temporary
folder, runs ``agents.py`` there, and prints the table of docs/how-to/test-kit.md. ``--only NAME``
runs one client, ``--keep FOLDER`` keeps what was installed, ``--write`` puts the table into the
page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "how-to" / "test-kit.md"
PACKAGES = {
    "agentinfra": (),
    "openai": ("openai",),
    "langchain": ("langchain-openai",),
    "litellm": ("litellm",),
    "pydantic-ai": ("pydantic-ai-slim[openai]",),
}
TITLES = {
    "agentinfra": "agentinfra",
    "openai": "openai",
    "langchain": "langchain-openai",
    "litellm": "litellm",
    "pydantic-ai": "pydantic-ai-slim",
}
BEGIN, END = "<!-- resilience -->", "<!-- /resilience -->"


def installed(name: str, home: Path) -> Path:
    """Install a client and this project; return its Python."""
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "-e", ROOT, *PACKAGES[name]], check=True
        )
    return python


def run(name: str, home: Path) -> list[str]:
    """Return a client's lines of the table."""
    python = installed(name, home)
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR", "LANG")}
    done = subprocess.run(
        [python, HERE / "agents.py", name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=home,
    )
    sys.stderr.write(done.stderr)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    title = f"{TITLES[name]} {_version(python, TITLES[name])}"
    return [
        f"| {title} | {way} | {' | '.join(str(count) for count in counts.values())} |"
        for way, counts in found.items()
    ]


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> int:
    """Run everything; print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(PACKAGES))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    columns = ("client", "asks for", "runs", "answered", "typed error", "half an answer")
    columns = (*columns, "untyped error", "hung", "leaked", "paid twice", "retried too often")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    print(*lines, sep="\n", flush=True)
    with ExitStack() as stack:
        home = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in PACKAGES:
            if options.only in (None, name):
                lines += (found := run(name, home.absolute() / name))
                print(*found, sep="\n", flush=True)
    if options.write:
        text = PAGE.read_text()
        block = "\n".join([BEGIN, *lines, END])
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
