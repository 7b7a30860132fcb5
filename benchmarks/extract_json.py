"""JSON out of the output of models: who reads how much of it right, and who makes things up.

Two sets of texts: the corpus of the tests, written by hand, and made-up ones with known faults
(``extract_faults``). Where a text has a schema, every competitor's value is validated with it and
counts as refused when it does not fit, so that nobody is blamed for not knowing the schema.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentinfra.jsontext.extract import extract_json
from benchmarks.extract_faults import Made, begins, make, same
from benchmarks.report import Claim, Result, Table, versions

NAME = "extract_json"

CORPUS = Path(__file__).parent.parent / "tests" / "jsontext" / "corpus.jsonl"
VERDICTS = ("right", "wrong", "refused, rightly", "refused, wrongly")

Reader = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A text, an optional schema, and what is right to do with it."""

    kind: str
    text: str
    schema: Any
    is_right: Callable[[Any], bool]
    refuse: bool


@dataclass(frozen=True, slots=True)
class Score:
    """What one reader made of a set of texts."""

    verdicts: Mapping[str, int]
    right_by_kind: Mapping[str, int]
    recursion_errors: int
    microseconds: float

    @property
    def good(self) -> int:
        """Texts read right or rightly refused."""
        return self.verdicts["right"] + self.verdicts["refused, rightly"]


def run(*, quick: bool) -> Result:
    """Read both sets with everyone."""
    readers = _readers()
    corpus = [_written(json.loads(line)) for line in CORPUS.read_text().splitlines()]
    made = [_made(one) for one in make(10 if quick else 100)]
    rounds = 1 if quick else 5
    on_corpus = {name: _score(reader, corpus, rounds) for name, reader in readers.items()}
    on_made = {name: _score(reader, made, rounds) for name, reader in readers.items()}
    return Result(
        name=NAME,
        versions=versions(
            "agentinfra", "json_repair", "partial-json-parser", "jiter", "langchain-core", "msgspec"
        ),
        tables=(
            _table(f"{len(corpus)} texts written by hand", on_corpus),
            _table(f"{len(made)} made-up texts with known faults", on_made),
            _kinds("right by fault, made-up texts", made, on_made),
            _speed(quick=quick, readers=readers),
        ),
        claims=_claims(corpus, on_corpus, on_made, readers),
    )


# -- the readers


def _readers() -> dict[str, Reader]:
    import jiter
    import json_repair
    import partial_json_parser
    from langchain_core.utils.json import parse_json_markdown

    def repair(text: str, schema: Any) -> Any:
        value = json_repair.repair_json(text, return_objects=True, schema=schema)
        if value == "" and text.strip() != '""':
            raise ValueError("json_repair found nothing")
        return value

    def partial(text: str, _: Any) -> Any:
        return partial_json_parser.loads(text, partial_json_parser.Allow.ALL)

    def read_jiter(text: str, _: Any) -> Any:
        return jiter.from_json(text.encode(), partial_mode="trailing-strings")

    return {
        "agentinfra": extract_json,
        "json": lambda text, _: json.loads(text),
        "json_repair": repair,
        "partial-json-parser": partial,
        "jiter, partial": read_jiter,
        "langchain-core": lambda text, _: parse_json_markdown(text),
    }


# -- the texts


def _written(row: Mapping[str, Any]) -> Case:
    accepted = row.get("right", [])

    def is_right(value: Any) -> bool:
        return any(same(value, one) for one in accepted)

    return Case(row["kind"], row["text"], row.get("schema"), is_right, row.get("refuse", False))


def _made(one: Made) -> Case:
    compare = begins if one.cut else same
    return Case(one.fault, one.text, None, lambda value: compare(value, one.value), one.refuse)


# -- the figures


def _score(reader: Reader, cases: Sequence[Case], rounds: int) -> Score:
    verdicts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    recursion_errors = 0
    times = []
    for case in cases:
        verdict, recursed = _judge(reader, case)
        verdicts[verdict] += 1
        kinds[case.kind] += verdict in ("right", "refused, rightly")
        recursion_errors += recursed
        times.append(min(_timed(reader, case) for _ in range(rounds)))
    return Score(verdicts, kinds, recursion_errors, statistics.median(times) * 1e6)


def _judge(reader: Reader, case: Case) -> tuple[str, bool]:
    try:
        value = reader(case.text, case.schema)
        if case.schema is not None:
            extract_json(json.dumps(value), case.schema)
    except Exception as error:
        verdict = "refused, rightly" if case.refuse else "refused, wrongly"
        return verdict, isinstance(error, RecursionError)
    return ("right" if not case.refuse and case.is_right(value) else "wrong"), False


def _timed(reader: Reader, case: Case) -> float:
    begun = time.perf_counter()
    with suppress(Exception):
        reader(case.text, case.schema)
    return time.perf_counter() - begun


def _table(title: str, scores: Mapping[str, Score]) -> Table:
    return Table(
        title,
        ("reader", *VERDICTS, "RecursionError", "median us"),
        [
            (
                name,
                *(score.verdicts[verdict] for verdict in VERDICTS),
                score.recursion_errors,
                f"{score.microseconds:.1f}",
            )
            for name, score in scores.items()
        ],
    )


def _kinds(title: str, cases: Sequence[Case], scores: Mapping[str, Score]) -> Table:
    total = Counter(case.kind for case in cases)
    return Table(
        title,
        ("fault", "texts", *scores),
        [
            (kind, count, *(score.right_by_kind[kind] for score in scores.values()))
            for kind, count in total.items()
        ],
    )


def _speed(*, quick: bool, readers: Mapping[str, Reader]) -> Table:
    """Time one text of about 700 characters, sound and with faults."""
    rows = [{"id": i, "title": f"item {i}", "ok": True, "score": i / 3} for i in range(10)]
    value = {"name": "Ada", "items": rows}
    sound = json.dumps(value)
    texts = {
        "valid": sound,
        "in a fence": f"Here it is:\n```json\n{sound}\n```",
        "trailing comma": sound[:-1] + ",}",
        "Python literal": repr(value),
    }
    rounds = 20 if quick else 300

    def fastest(reader: Reader, text: str) -> str:
        case = Case("", text, None, bool, refuse=False)
        if _judge(reader, case)[0] != "right":
            return "-"
        return f"{min(_timed(reader, case) for _ in range(rounds)) * 1e6:.1f}"

    return Table(
        "microseconds for one text of 700 characters (-: cannot read it)",
        ("reader", *texts),
        [
            (name, *(fastest(reader, text) for text in texts.values()))
            for name, reader in readers.items()
        ],
    )


def _claims(
    corpus: Sequence[Case],
    on_corpus: Mapping[str, Score],
    on_made: Mapping[str, Score],
    readers: Mapping[str, Reader],
) -> tuple[Claim, ...]:
    peers = [name for name in readers if name != "agentinfra"]
    valid = [case for case in corpus if _judge(readers["json"], case)[0] == "right"]
    altered = sum(_judge(readers["agentinfra"], case)[0] != "right" for case in valid)
    claims = [Claim("wrong_where_json_is_right", altered, "==", 0)]
    for label, scores in (("corpus", on_corpus), ("made_up", on_made)):
        ours, others = scores["agentinfra"], [scores[name] for name in peers]
        texts = sum(ours.verdicts.values())
        right = ours.verdicts["right"] - max(other.verdicts["right"] for other in others)
        good = ours.good - max(other.good for other in others)
        claims += [
            Claim(f"{label}.right_beyond_the_best_peer", right, ">", 0),
            Claim(f"{label}.right_or_rightly_refused_beyond_the_best_peer", good, ">", 0),
            Claim(f"{label}.silently_wrong_share", ours.verdicts["wrong"] / texts, "<=", 0.01),
            Claim(f"{label}.recursion_errors", ours.recursion_errors, "==", 0),
        ]
    return tuple(claims)
