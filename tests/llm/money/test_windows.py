"""Windows: what counts at a moment, and until when."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.errors import ConfigurationError
from agentinfra.llm.money.windows import Window

MOMENTS = st.floats(1.0e9, 4.0e9)
WINDOWS = st.sampled_from(["hour", "day", "month", 1.5, 60, 86_400.0, 2_592_000.0]).map(Window.of)


def at(*parts):
    return datetime(*parts, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("name", "began", "ends"),
    [
        ("hour", at(2026, 2, 28, 23), at(2026, 3, 1)),
        ("day", at(2026, 2, 28), at(2026, 3, 1)),
        ("month", at(2026, 2, 1), at(2026, 3, 1)),
        ("run", 0.0, math.inf),
    ],
)
def test_calendar_windows_are_those_of_utc(name, began, ends):
    """An hour, a day and a month begin and end as the calendar says; a run does not end."""
    window, now = Window.of(name), at(2026, 2, 28, 23, 59, 59)
    assert (window.period(now), window.horizon(now), window.ends(began)) == (began, began, ends)


@given(WINDOWS, MOMENTS)
def test_periods_follow_one_another(window, now):
    """Each moment is in one period, and where one ends the next begins."""
    period = window.period(now)
    ends = window.ends(period)
    assert period <= now + 1e-6  # moments are whole microseconds
    assert window.period(period) == period
    assert window.period(ends) == ends > period
    assert now <= ends + 1e-6


@given(st.floats(1, 31_622_400), MOMENTS)
def test_a_rolling_window_is_never_too_short(seconds, now):
    """What is younger than its length counts, and what is older by a sixtieth does not."""
    window = Window.of(seconds)
    assert window.horizon(now) <= now - seconds + 1e-6
    assert window.horizon(now) >= now - seconds * (1 + 1 / 60) - 1e-3


@given(WINDOWS)
def test_a_window_is_found_by_its_name(window):
    """The ledger keeps the name alone."""
    assert Window.named(window.name) == window


@pytest.mark.parametrize("per", ["week", "", 0, 0.5, -60, 1e9, math.nan, None, True])
def test_what_is_no_window_is_refused(per):
    """The sentence names the value."""
    with pytest.raises(ConfigurationError, match="is no window"):
        Window.of(per)
