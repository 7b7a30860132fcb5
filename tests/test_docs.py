"""What the README and the docs show runs, is found, and is readable."""

import asyncio
import os
import re
import runpy
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agentinfra import InfraRuntime, Settings
from agentinfra.demo.sales import SalesDatabase

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+\.(?:md|yaml|toml|py))(?:#[^)]*)?\)")
RAW = re.compile(r":(?:class|meth|attr|func|data|mod|exc):|\.\. code-block::")

TESTED_PAGES = [page for page in PAGES if BLOCK.search(page.read_text())]

# One process a page: a program each, with a namespace of its own, but the imports only once.
PROGRAMS = """
import runpy, sys, traceback

for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="__main__")
    except BaseException:
        traceback.print_exc()
        sys.exit(f"{path} does not run")
"""


def _name(page):
    return page.relative_to(ROOT).as_posix()


def _files(page, folder):
    """Save each block as a file; give those that are programs, and those that are tests."""
    programs, tests = [], []
    for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
        kind = tests if "def test_" in block else programs
        file = folder / f"{'test_' if kind is tests else ''}block_{number}.py"
        file.write_text(block)
        kind.append(str(file))
    return programs, tests


async def _run(folder, *args, **env):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *args),
        cwd=folder,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode()


@pytest.mark.parametrize("page", TESTED_PAGES, ids=_name)
async def test_blocks_are_programs(page, openai_server, postgres_url, tmp_path):
    """Each Python block runs as a file, with the variables set that the README names."""
    env = {
        "OPENAI_BASE_URL": openai_server.base_url,
        "OPENAI_API_KEY": "test",
        "DATABASE_URL": postgres_url,
    }
    if "demo_sales" in page.read_text():  # it goes on from a run of the demo
        database = Settings(llm={"enabled": False}, database={"url": postgres_url})
        async with InfraRuntime(database) as rt:
            await SalesDatabase(rt.db).prepare()
    programs, tests = _files(page, tmp_path)
    if programs:
        await _run(tmp_path, "-c", PROGRAMS, *programs, **env)
    if tests:
        await _run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, **env)


def _apps():
    for page in TESTED_PAGES:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            if "create_app()" in block:
                yield pytest.param(block, id=f"{_name(page)} {number}")


@pytest.mark.parametrize("block", list(_apps()))
def test_apps_answer(block, tmp_path, monkeypatch):
    """The apps that pages show are ready where they say, and have figures."""
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    monkeypatch.setenv("AGENTINFRA_CHECKPOINTER__BACKEND", "memory")
    monkeypatch.setenv("AGENTINFRA_LOGGING__LEVEL", "critical")
    file = tmp_path / "shop.py"
    file.write_text(block.replace('{"required": ["llm"]}', "{}"))  # there is no model here
    with TestClient(runpy.run_path(str(file))["app"]) as http:
        for path in ("/infra/livez", "/infra/readyz", "/infra/metrics"):
            assert http.get(path).status_code == 200


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the pages, strictly."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_reference_has_what_a_program_touches(site):
    """The API page names every resource of the runtime, and the fixtures of the plugin."""
    page = (site / "reference/api/index.html").read_text()
    for resource in ("llm", "db", "caches", "checkpointer", "metrics", "tracing", "logging"):
        assert f'id="agentinfra.runtime.InfraRuntime.{resource}"' in page
    for fixture in ("infra_runtime", "infra_settings", "openai_server", "postgres_url"):
        assert f'id="agentinfra.testing.plugin.{fixture}"' in page


def test_pages_show_no_raw_markup(site):
    """Docstrings are Markdown, which is what the pages are made of."""
    for page in sorted(site.rglob("*.html")):
        text = unescape(re.sub(r"<[^>]+>", " ", page.read_text()))
        assert RAW.findall(text) == [], page


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    """Every link to a file of the project has a file behind it."""
    for target in LINK.findall(page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).is_file(), target


def test_every_page_is_in_the_navigation():
    """No page is written that nobody can find."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES[1:]:
        assert page.relative_to(ROOT / "docs").as_posix() in navigation, page
