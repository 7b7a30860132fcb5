"""Large values: they come back as they were, and others run while they are decoded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from agentinfra.checkpoint.serde import StrictSerializer

ROWS: list[Any] = [
    {"role": "user", "content": "word " * 90, "n": [n, None, 1.5], n: "key"} for n in range(8_000)
]


@pytest.fixture
def patient_interpreter() -> Iterator[None]:
    """Nobody is asked to let another thread have it: who computes has to offer that."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        [*ROWS, HumanMessage("hello"), {3}, 2**80, "\ud83d", b"\x00"],
        [[n, str(n), n / 3] for n in range(60_000)],
        {"messages": ROWS},
        ["x" * 1_000_000],
        [],
    ],
    ids=["rows", "objects", "small", "in a dict", "one text", "none"],
)
def test_large_values_come_back_as_they_were(value):
    """Whether they are decoded in one go or piece by piece."""
    serde = StrictSerializer()
    assert serde.loads_typed(serde.dumps_typed(value)) == value


@pytest.mark.usefixtures("patient_interpreter")
def test_others_run_while_a_large_list_is_decoded():
    """The thread that decodes lets go of the interpreter again and again."""
    serde = StrictSerializer()
    stored = serde.dumps_typed(ROWS * 4)
    decoding = threading.Thread(target=serde.loads_typed, args=(stored,))
    turns = 0
    decoding.start()
    while decoding.is_alive():
        time.sleep(0)
        turns += 1
    assert turns > 3
