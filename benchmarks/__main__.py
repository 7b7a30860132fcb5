"""Run benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--json FILE]``.

A benchmark is a module of this package with a ``NAME`` and a ``run(*, quick)``, which may be
async and returns a Result. A claim that fails is printed like one that holds; the exit status
is 1 only when a benchmark itself broke, and 2 when there is none of that name.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import benchmarks
from benchmarks.report import Result, print_result, to_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks asked for and return the exit status."""
    options = _parser().parse_args(arguments)
    found = dict(_discover())
    unknown = set(options.names) - set(found)
    if unknown:
        print(f"no benchmark {sorted(unknown)}: there is {sorted(found)}", file=sys.stderr)
        return 2
    results, broken = [], []
    for name in options.names or sorted(found):
        try:
            result = _run(found[name], quick=options.quick)
        except Exception:
            traceback.print_exc()
            print(f"\n== {name}\nbroken: see above\n")
            broken.append(name)
        else:
            print_result(result)
            print(flush=True)
            results.append(to_json(result))
    if options.json:
        document = {"quick": options.quick, "results": results, "broken": broken}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def _discover() -> Iterator[tuple[str, Callable[[], ModuleType]]]:
    """Yield each benchmark's name with what gives its module, or raises what broke its import."""
    for info in pkgutil.iter_modules(benchmarks.__path__):
        if info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"benchmarks.{info.name}")
        except Exception as error:
            yield info.name, _raising(error)
        else:
            if hasattr(module, "NAME") and hasattr(module, "run"):
                yield module.NAME, lambda module=module: module


def _raising(error: Exception) -> Callable[[], ModuleType]:
    def give() -> ModuleType:
        raise error

    return give


def _run(give: Callable[[], ModuleType], *, quick: bool) -> Result:
    run: Callable[..., Any] = give().run
    result = run(quick=quick)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


if __name__ == "__main__":
    sys.exit(main())
