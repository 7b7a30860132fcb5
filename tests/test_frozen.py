"""Frozen dataclasses whose ``__init__`` calls the slots themselves."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from agentinfra._frozen import cheap_to_make


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A value."""

    name: str
    size: int = 3
    hidden: object = field(default=None, repr=False, compare=False)


@cheap_to_make
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The same value."""

    name: str
    size: int = 3
    hidden: object = field(default=None, repr=False, compare=False)


def test_it_is_the_dataclass_it_was():
    """Signature, defaults, equality, hash, copies and pickles are those of the dataclass."""
    assert inspect.signature(Quick) == inspect.signature(Plain)
    value = Quick(name="a")
    assert repr(value) == repr(Plain(name="a")).replace("Plain", "Quick")
    assert value == Quick(name="a", size=3, hidden=1) != Quick(name="b")
    assert hash(value) == hash(Quick(name="a", hidden=2))
    assert replace(value, size=4) == Quick(name="a", size=4)
    assert pickle.loads(pickle.dumps(value)) == value


def test_it_stays_frozen():
    """No field can be set, and every argument is asked for by its name."""
    value = Quick(name="a")
    with pytest.raises(FrozenInstanceError):
        value.name = "b"
    with pytest.raises(TypeError, match="'name'"):
        Quick()
    with pytest.raises(TypeError, match="'other'"):
        Quick(name="a", other=1)
    with pytest.raises(TypeError, match="positional"):
        Quick("a")


def test_what_it_cannot_make_is_refused():
    """A field with a factory has no value that could be a default."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Lists:
        names: list = field(default_factory=list)

    with pytest.raises(TypeError, match="Lists.names"):
        cheap_to_make(Lists)
