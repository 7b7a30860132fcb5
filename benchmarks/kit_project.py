"""What the kit costs a small project: ten tests with a database, alone and with four workers.

Each run is a session of its own. Beside it stands the same session with ten tests that do nothing:
what is beyond that is ours and our dependencies'.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Claim, Result, Table, versions

NAME = "kit_project"

SETTINGS = """
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""
NOTHING = "\n".join(f"async def test_{number}(): pass" for number in range(10))
PLUGINS = ("pytest_asyncio.plugin", "xdist.plugin", "agentinfra.testing.plugin")
SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Session:
    """What one session took: seconds of the clock, seconds of CPU with all its processes."""

    wall: float
    cpu: float


def run(*, quick: bool) -> Result:
    """Run both projects by turns, alone and with workers."""
    rounds = 2 if quick else 7
    taken: dict[tuple[str, str], list[Session]] = {}
    with tempfile.TemporaryDirectory(prefix="agentinfra-bench-") as folder:
        projects = _projects(Path(folder))
        for number in range(rounds + 1):
            for name, project in projects.items():
                for workers in ("alone", "-n 4"):
                    session = _session(project, workers)
                    if number:  # the first one makes what is kept: the database's template
                        taken.setdefault((name, workers), []).append(session)
    rows = tuple((*key, f"{_wall(runs):.2f}", f"{_cpu(runs):.2f}") for key, runs in taken.items())
    table = Table(
        title="A session of ten tests, seconds (medians)",
        columns=("tests", "workers", "on the clock", "of CPU"),
        rows=rows,
    )
    ours = {workers: runs for (name, workers), runs in taken.items() if name == "with the kit"}
    claims = tuple(
        Claim(f"ten_tests_{words}_seconds", _wall(ours[workers]), "<=", SECONDS)
        for workers, words in (("alone", "alone"), ("-n 4", "with_4_workers"))
    )
    found = versions("pytest", "pytest-asyncio", "pytest-xdist", "openai")
    return Result(name=NAME, versions=found, tables=(table,), claims=claims)


def _projects(folder: Path) -> dict[str, Path]:
    ours = (Path(__file__).parent / "ten_tests.py").read_text()
    projects = {}
    for name, text in (("with the kit", ours), ("of nothing", NOTHING)):
        project = folder / name.replace(" ", "_")
        project.mkdir(parents=True)
        (project / "pyproject.toml").write_text(SETTINGS)
        (project / "test_agent.py").write_text(text)
        projects[name] = project
    return projects


def _session(project: Path, workers: str) -> Session:
    """Run a project's tests with the plugins that its page names, and no others."""
    plugins = [part for plugin in PLUGINS for part in ("-p", plugin)]
    options = workers.split() if workers != "alone" else []
    began, used = time.perf_counter(), _children()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *options],
        cwd=project,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "10 passed" not in done.stdout:
        raise RuntimeError(f"the project's tests do not pass: {done.stdout} {done.stderr}")
    return Session(wall=time.perf_counter() - began, cpu=_children() - used)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wall(sessions: list[Session]) -> float:
    return statistics.median(session.wall for session in sessions)


def _cpu(sessions: list[Session]) -> float:
    return statistics.median(session.cpu for session in sessions)
