"""What the package gives, and what importing it costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import agentinfra.testing

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "test-with-the-server.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", agentinfra.testing.__all__)
def test_every_name_is_there(name):
    """Every public name can be had from the package, and is listed."""
    assert getattr(agentinfra.testing, name) is not None
    assert name in dir(agentinfra.testing)


def test_unknown_name():
    """A name that is none is an AttributeError that names it."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = agentinfra.testing.Nothing


def test_import_is_light():
    """Importing the package loads neither aiohttp nor numpy nor orjson."""
    code = (
        "import agentinfra.testing, sys; print({'aiohttp', 'numpy', 'orjson'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("place", range(len(SNIPPETS)))
def test_how_to_runs(place):
    """Every piece of code of the how-to runs as it stands there."""
    exec(compile(SNIPPETS[place], f"{HOW_TO.name}[{place}]", "exec"), {"__name__": "how_to"})
