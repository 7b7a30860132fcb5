"""The benchmark of the extraction runs, and what it claims holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_its_claims_hold(tmp_path):
    """Every claim of the accuracy benchmark holds in its quick form."""
    pytest.importorskip("jiter")
    pytest.importorskip("partial_json_parser")
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks", "extract_json", "--quick", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads(report.read_text())["results"]
    assert result["claims"]
    for claim in result["claims"]:
        assert claim["holds"], claim
        assert f"claim {claim['name']} " in done.stdout
