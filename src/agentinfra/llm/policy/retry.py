"""When a failed request is sent again: the one retry policy, on tenacity."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import CircuitOpenError, LLMError, RateLimitedError, ServerError

if TYPE_CHECKING:
    import tenacity

    from agentinfra._mechanics.clock import Clock
    from agentinfra._mechanics.retry_budget import RetryBudget

__all__ = ["RetryPolicy"]

T = TypeVar("T")


class RetryPolicy:
    """Sends again with exponential back-off and full jitter, as long as it is worth it.

    A retry needs all of these: the error is retryable, attempts are left, the shared retry budget
    has room, and the wait is no longer than the call's patience: its deadline, or the client's
    longest wait where it has none. The wait is what the endpoint asks for
    (Retry-After), else a random time up to ``first * 2 ** retries``, at most ``longest``
    ("Exponential Backoff And Jitter", AWS Architecture Blog, full jitter).

    Args:
        max_attempts: Requests at most for one call on one endpoint.
        budget: Bounds retries over all calls.
        clock: Where waits happen.
        first: Upper bound of the first wait in seconds.
        longest: Upper bound of every wait in seconds that the endpoint did not ask for.
        jitter: Gives a random number between 0 and 1.
    """

    def __init__(
        self,
        *,
        max_attempts: int,
        budget: RetryBudget,
        clock: Clock,
        first: float = 0.5,
        longest: float = 20.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.max_attempts = max_attempts
        self.missing = ""
        self._budget = budget
        self._clock = clock
        self._first = first
        self._longest = longest
        self._jitter = jitter

    def open(self) -> None:
        """Load tenacity; without it calls go on, each with one attempt, and ``missing`` says so."""
        try:
            load("tenacity")
        except MissingPackageError as error:
            self.missing = str(error)

    def worth_it(self, error: LLMError) -> bool:
        """Return whether an error could be retried at all."""
        return (
            error.retryable
            and self.max_attempts > 1
            and not self.missing
            and not isinstance(error, CircuitOpenError)
        )

    async def again(
        self,
        error: LLMError,
        attempt: Callable[[], Awaitable[T]],
        *,
        allows: Callable[[float], bool],
        waiting: Callable[[float], None],
    ) -> T:
        """Send again after a first attempt that failed.

        Args:
            error: What the first attempt raised.
            attempt: Sends one request.
            allows: Says whether the call may wait for so many seconds.
            waiting: Told how many seconds are going to be waited.

        Raises:
            LLMError: What the last attempt raised.
        """
        import tenacity

        waits = _Waits(self, allows, waiting)
        retrying = tenacity.AsyncRetrying(
            sleep=self._clock.sleep,
            stop=tenacity.stop_after_attempt(self.max_attempts),
            retry=tenacity.retry_if_exception(waits.plan),
            wait=waits.planned,
            reraise=True,
        )
        first: list[LLMError] = [error]

        async def attempt_or_first_error() -> T:
            if first:
                raise first.pop()
            return await attempt()

        return await retrying(attempt_or_first_error)

    def wait_for(self, error: LLMError, retries: int) -> float:
        """Return the seconds to wait before the next attempt."""
        if isinstance(error, RateLimitedError | ServerError) and error.retry_after is not None:
            return error.retry_after
        return min(self._longest, self._first * 2.0**retries) * self._jitter()

    def spend(self) -> bool:
        """Take one retry out of the shared budget; False when it has none left."""
        return self._budget.withdraw()


class _Waits:
    """Decides on one call's next retry before tenacity waits for it."""

    def __init__(
        self,
        policy: RetryPolicy,
        allows: Callable[[float], bool],
        waiting: Callable[[float], None],
    ) -> None:
        self._policy = policy
        self._allows = allows
        self._waiting = waiting
        self._retries = 0
        self._wait = 0.0

    def plan(self, error: BaseException) -> bool:
        if not isinstance(error, LLMError) or not self._policy.worth_it(error):
            return False
        if self._retries + 1 >= self._policy.max_attempts:
            return False
        self._wait = self._policy.wait_for(error, self._retries)
        if not self._allows(self._wait) or not self._policy.spend():
            return False
        self._retries += 1
        self._waiting(self._wait)
        return True

    def planned(self, state: tenacity.RetryCallState) -> float:
        del state
        return self._wait
