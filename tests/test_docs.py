"""The snippets of the README and the docs run, as they stand."""

import ast
import gc
import inspect
import re
from pathlib import Path

import pytest

from agentinfra import InfraRuntime
from agentinfra.demo.sales import SalesDatabase

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"asyncio\.run\((\w+\([^()]*\))\)")
LINK = re.compile(r"\]\(([^)#]+\.(?:md|yaml|toml|py))(?:#[^)]*)?\)")

TESTED_PAGES = [page for page in PAGES if BLOCK.search(page.read_text())]


def _name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def thawed():
    """Give the collector back what a snippet about it has taken out of its sight."""
    yield
    gc.unfreeze()


@pytest.mark.parametrize("page", TESTED_PAGES, ids=_name)
@pytest.mark.usefixtures("thawed")
async def test_snippets_run(page, openai_server, postgres_url, monkeypatch):
    """Block after block in one namespace, with `await` at its top, against real servers."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    if "demo_sales" in page.read_text():
        async with InfraRuntime() as rt:
            await SalesDatabase(rt.db).prepare()
    namespace = {"__name__": "snippet"}
    for block in BLOCK.findall(page.read_text()):
        if "def test_" in block:
            continue  # a test module of its own; run in tests/testing
        block = RUN.sub(r"await \1", block)
        code = compile(block, _name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await result


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
