"""What two questions may not differ in."""

from __future__ import annotations

import time

import pytest

from agentinfra.cache.semantic.guard import Facts, differ


@pytest.mark.parametrize(
    ("asked", "known", "what"),
    [
        ("transfer 100 to savings", "transfer 1000 to savings", "numbers"),
        ("remind me in five minutes", "remind me in six minutes", "numbers"),
        ("is 5 mg safe", "is 5 g safe", "units"),
        ("convert 10 from 20", "convert 20 from 10", "numbers"),
        ("is version 1.10 out", "is version 1.1 out", "numbers"),
        ("a budget of 10k", "a budget of 10m", "numbers"),
        ("what is $5 worth", "what is €5 worth", "numbers"),
        ("the distance in km", "the distance in miles", "units"),
        ('who said "to be"', 'who said "not to be"', "quoted"),
        ("translate „Haus“", "translate „Maus“", "quoted"),
        ("what does `a = b` do", "what does `a == b` do", "code"),
        ("why is max_size ignored", "why is min_size ignored", "code"),
        ("open https://a.example/x", "open https://a.example/y", "code"),
        ("write to ann@example.org", "write to bob@example.org", "code"),
        ("run it with --dry-run", "run it with --force", "code"),
        ("is it C++", "is it C#", "code"),
        ("can I eat it", "can I not eat it", "negations"),
        ("it does work", "it doesn't work", "negations"),
        ("with sugar", "without sugar", "negations"),
        ("weather in Paris", "weather in London", "names"),
        ("Paris weather", "London weather", "names"),
        ("fly from Paris to London", "fly from London to Paris", "names"),
        ("weather in Paris", "weather in london", "names"),
        ("meet me on monday", "meet me on tuesday", "names"),
        ("is it open today", "is it open tomorrow", "names"),
    ],
)
def test_a_difference_that_matters_is_seen(asked, known, what):
    """Numbers, units, quotations, code, negations and names, either way round."""
    assert differ(Facts(asked), Facts(known)) == what
    assert differ(Facts(known), Facts(asked)) == what


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("how do I reset my password", "how can i reset my password"),
        ("What is the weather in Paris?", "weather in paris please"),
        ("Show me my orders", "show my orders"),
        ("set a timer for five minutes", "timer for 5 minutes"),
        ("it isn't working", "it is not working"),
        ("which one is it", "which is it"),
        ("wait 5 min", "wait 5min"),
        ("give me 5 days", "Give me 5 days, please."),
        ("the café is open", "the cafe\u0301 is open"),
    ],
)
def test_other_words_for_the_same_pass(asked, known):
    """Case, punctuation, spelling of numbers and how a question begins make no difference."""
    assert differ(Facts(asked), Facts(known)) is None


@pytest.mark.parametrize("piece", ['"', "`", "a_", "1.", "A'", "/a", "--a ", "«", "http://"])
def test_no_text_takes_long(piece):
    """A long text costs little more for one piece of it than for plain words."""

    def cost(text):
        facts, begun = Facts(text), time.process_time()
        differ(facts, Facts("x 1"))
        return time.process_time() - begun

    long = piece * (4_000 // len(piece))
    assert cost(long) < 100 * cost("some plain words " * 235)


def test_what_is_too_long_is_never_the_same():
    """In a long text too much can hide."""
    text = "word " * 801
    assert differ(Facts(text), Facts(text)) == "length"
