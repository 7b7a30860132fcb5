from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentinfra.observability.semconv import METRICS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = ("metrics.md", "logging-and-tracing.md")


def snippets() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = (REFERENCE / page).read_text()
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1):
            found.append(pytest.param(code, id=f"{page}-{number}"))
    return found


def test_every_metric_is_documented():
    """The table of metrics says what the code says: names, types, labels, meanings, in order."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+) \|$",
        (REFERENCE / "metrics.md").read_text(),
        re.MULTILINE,
    )
    documented = [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, labels, text in rows
    ]
    assert documented == [(spec.name, spec.kind, spec.labels, spec.help) for spec in METRICS]


@pytest.mark.parametrize("code", snippets())
def test_snippets_run(code, tmp_path):
    """Every Python snippet of the reference runs as it stands."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
