"""The shared retry budget bounds retries over all calls."""

from hypothesis import given
from hypothesis import strategies as st

from agentinfra._mechanics.retry_budget import RetryBudget
from agentinfra.testing.clock import ManualClock


@given(st.integers(1, 3000))
def test_retries_are_a_tenth_of_the_calls_in_the_long_run(calls):
    """However many retries are wanted, a tenth of the calls and the reserve are the bound."""
    budget = RetryBudget(clock=ManualClock())
    retries = 0
    for _ in range(calls):
        budget.deposit()
        retries += sum(budget.withdraw() for _ in range(3))
    assert retries <= 0.1 * calls + 10


async def test_time_pays_in_for_a_client_that_makes_few_calls():
    """An emptied budget has a retry again after ten seconds."""
    clock = ManualClock()
    budget = RetryBudget(clock=clock)
    while budget.withdraw():
        pass
    await clock.advance(10.1)
    assert budget.withdraw()
    assert not budget.withdraw()
