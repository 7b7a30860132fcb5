"""What a person sees, and what the accounts under an answer add up."""

import io

import pytest
from rich.console import Console

from agentinfra.demo.accounts import accounts_of, total
from agentinfra.demo.answer import Answer
from agentinfra.demo.rendering import Screen, clean
from agentinfra.demo.trace_tree import cost, milliseconds
from agentinfra.demo.wrapping import Wrapper
from agentinfra.observability.tracing import FinishedSpan
from agentinfra.results import Usage


def span(name: str, number: int, parent: int | None, **attributes) -> FinishedSpan:
    return FinishedSpan(
        name=name,
        trace_id="a" * 32,
        span_id=str(number),
        parent_id=None if parent is None else str(parent),
        start=float(number),
        duration=0.25,
        attributes=attributes,
        error=None,
        kind="internal",
    )


def call(number: int, parent: int, usd: float | None) -> FinishedSpan:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 7,
    }
    if usd is not None:
        attributes["agentinfra.cost_usd"] = usd
    return span("chat m", number, parent, **attributes)


def node(name: str, number: int, **attributes) -> FinishedSpan:
    named = {"agentinfra.node": name, "gen_ai.agent.name": "analytics"}
    return span(f"agent.node {name}", number, 0, **named, **attributes)


ROOT = span("demo.question", 0, None)
SPANS = (
    call(5, 4, 0.001),
    span("db.query", 4, 3),
    node("plan", 3),
    node("recall", 1, **{"agentinfra.cache_hit": True}),
    call(7, 3, 0.002),
    ROOT,
)


def answer(**changes) -> Answer:
    usage, usd = total(SPANS)
    given = {
        "question": "q",
        "agent": "analytics",
        "answer": "Forty-two.",
        "answered": True,
        "sources": (),
        "sql": "SELECT 42 AS n",
        "columns": ("n", "day"),
        "rows": tuple({"n": number, "day": None} for number in range(12)),
        "truncated": False,
        "usage": usage,
        "cost_usd": usd,
        "cache": {"routing": "miss", "response": None, "embedding": None},
        "degraded": None,
        "trace_id": "a" * 32,
        "thread_id": "t",
        "latency": 0.25,
        "spans": SPANS,
    }
    return Answer(**given | changes)


def shown(given: Answer, *, words: tuple[str, ...] = (), terminal: bool = False) -> str:
    out = io.StringIO()
    color = "standard" if terminal else None
    screen = Screen(
        Console(file=out, width=80, force_terminal=terminal, color_system=color, highlight=False)
    )
    screen.begin(given.question, echo=True)
    for word in words:
        screen.word(word)
    screen.end(given)
    return out.getvalue()


def test_calls_are_booked_on_the_node_around_them():
    """A model call counts for the nearest node above it, however deep it is."""
    recall, plan = accounts_of(SPANS)
    assert (plan.node, plan.calls, plan.cost_usd) == ("plan", 2, pytest.approx(0.003))
    assert plan.usage == Usage(prompt_tokens=200, completion_tokens=14, total_tokens=214)
    assert (recall.node, recall.cache, recall.calls) == ("recall", "hit", 0)


def test_an_unknown_price_makes_the_sum_unknown():
    """What one call costs is not known, so what all cost is not either."""
    usage, usd = total((*SPANS, call(9, 3, None)))
    assert usd is None
    assert usage.total_tokens == 321
    assert total(()) == (Usage(), 0)


def test_the_whole_answer_is_on_the_screen():
    """Answer, statement, first rows, steps with their sums, and the tree of the trace."""
    text = shown(answer())
    for words in ("Forty-two.", "SELECT 42 AS n", "2 more rows", "none", "$0.003000", "1 hit"):
        assert words in text
    assert "└── demo.question" in text
    assert "├── db.query  250 ms" in text
    assert "\x1b" not in text


def test_words_come_before_the_end_and_once():
    """What was shown while it came is not shown again."""
    text = shown(answer(), words=("Forty", "-two."))
    assert text.count("Forty-two.") == 1


def test_a_terminal_gets_colours_and_no_control_of_strangers():
    """Our own styles are there; what a document or a row brings along is not."""
    text = shown(answer(answer="\x1b[31mred\x07", sources=("a.md#\x1b[2J",)), terminal=True)
    assert "\x1b[" in text
    assert "\x1b[31mred" not in text
    assert "\x1b[2J" not in text
    assert clean("a\tb\nc\x00\x9b") == "a\tb\nc"


def test_markup_in_texts_is_text():
    """Brackets in sources, columns and values are shown as they are."""
    given = answer(columns=("[bold]n",), rows=({"[bold]n": "[red]x"},), sources=("[link]a.md",))
    text = shown(given)
    for words in ("[bold]n", "[red]x", "[link]a.md"):
        assert words in text


@pytest.mark.parametrize("width", [1, 4, 7, 20, 80])
def test_wrapping_loses_nothing_and_keeps_to_the_width(width):
    """Whatever pieces a text comes in, words stay whole and lines as long as they may be."""
    text = "One two  three, four\n\nfive sixsevenandeight nine [a.md#b]. Ten"
    outcomes = set()
    for size in (1, 2, 3, 5, 100):
        wrapper = Wrapper(width)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        outcomes.add("".join(wrapper.add(piece) for piece in pieces) + wrapper.end())
    [wrapped] = outcomes
    assert wrapped.split() == text.split()
    assert all(len(line) <= width or " " not in line.strip() for line in wrapped.split("\n"))


def test_figures_have_the_digits_that_matter():
    """Short times keep a fraction, small amounts are not shown as nothing."""
    assert [milliseconds(s) for s in (0.0123, 1.5)] == ["12.3 ms", "1,500 ms"]
    assert [cost(usd) for usd in (None, 0, 0.0000001, 0.0123)] == [
        *("unknown", "$0", "<$0.000001", "$0.012300")
    ]
