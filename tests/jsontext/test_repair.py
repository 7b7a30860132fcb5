"""The gate before json_repair: its value has to account for the text."""

import pytest

from agentinfra.jsontext.repair import DoubtfulError, guess


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{"a": "say "x" now"}', {"a": 'say "x" now'}),
        ('{"a": "say "x" now", "b": 2.50}', {"a": 'say "x" now', "b": 2.5}),
        ('["the "big" one", "two"]', ['the "big" one', "two"]),
        ('{"a": "hello, "b": 2}', {"a": "hello", "b": 2}),
        ('{"a": "b", c": "d"}', {"a": "b", "c": "d"}),
        ('{"a": "hello}', {"a": "hello"}),
        ('{"a": "x\\n\\u00e9 "y" z", "b": null}', {"a": 'x\né "y" z', "b": None}),
        ('{"html": "<a href="x">y</a>"}', {"html": '<a href="x">y</a>'}),
    ],
)
def test_a_repair_that_accounts_for_everything_is_believed(source, value):
    """All keys and scalars of the source, in order, and nothing else: the value is taken."""
    assert guess(source) == value


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('{"a": "x", ...}', "ellipsis"),
        ('{"a": 1 + 2}', "drops"),
        ('{"a": 45%, "b": "x "y" z"}', "has 'b' where the text has '%b"),
        ('{"a": "x "y" z", "a": 2}', "has 2 where the text has 'x"),
        ('{"a": "x\\n"y" z", "b": null}', "has 'b' where the text has 'y"),
        ('{"a": ', "makes up an empty string"),
        ('{"a": datetime.date(2024, 1, 1)}', "makes a string"),
        ("{'a': b'bytes'}", "makes a string"),
        ("{'a': 'x' if y else 'z'}", "one string of two"),
        ('{"size": "5" wide"}', "one string of two"),
        ('{"s": {1, 2}}', "brackets"),
        ('{"a": [{"x": 1}, "b": 3}', "brackets"),
        ('["a"b"]', "makes a string"),
        ('{"a" 1, "b": 2}', "punctuation"),
        ('{"a": 1, "b": 2,\n\nSorry, let me restart:\n{"a": 1}', "has 'restart' where"),
        ('{"a": "the "\\u00e9t\\u00e9" is"}', "punctuation"),
    ],
)
def test_a_repair_that_makes_up_or_loses_something_is_not(source, reason):
    """What json_repair adds, drops or turns into something else makes the whole repair doubtful."""
    with pytest.raises(DoubtfulError, match=reason):
        guess(source)


def test_deep_sources_are_not_given_to_it():
    """A source that would exhaust the stack is refused beforehand."""
    with pytest.raises(DoubtfulError, match="deeper"):
        guess("[" * 10_000)
