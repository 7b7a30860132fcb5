"""A real token bucket for requests and one for tokens, with OpenAI's headers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from agentinfra.errors import ConfigurationError

__all__ = ["Limiter", "RateLimits", "Verdict", "format_duration"]

_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What the server lets through; None is no limit.

    Attributes:
        requests_per_minute: Requests a minute, refilled evenly; so many may come at once.
        tokens_per_minute: Tokens a minute. A request costs its prompt or what it may generate,
            whichever is more.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ConfigurationError(f"{name}={size}: give at least 1, or None for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the limiter says of one request.

    Attributes:
        refused: The bucket that is empty (``requests`` or ``tokens``), None when let through.
        retry_after: Seconds until it may pass; None when let through, infinite when it never may.
        message: Why it is refused.
        headers: The x-ratelimit headers, and retry-after where there is one.
    """

    refused: str | None
    retry_after: float | None
    message: str
    headers: dict[str, str]


class Bucket:
    """Holds up to ``limit`` units, refilled evenly over a minute."""

    def __init__(self, kind: str, limit: int, now: float) -> None:
        self.kind = kind
        self.limit = limit
        self._level = float(limit)
        self._filled = now

    def refill(self, now: float) -> None:
        """Add what has come in since the last call."""
        grown = (now - self._filled) * self.limit / _MINUTE
        self._level = min(self.limit, self._level + max(0.0, grown))
        self._filled = now

    def wait(self, units: int) -> float:
        """Return the seconds until ``units`` are there, infinite when they never will be."""
        if units > self.limit:
            return math.inf
        return max(0.0, (units - self._level) * _MINUTE / self.limit)

    def take(self, units: int) -> None:
        """Take units out."""
        self._level -= units

    def headers(self) -> dict[str, str]:
        """Return limit, remaining and the time until the bucket is full."""
        reset = (self.limit - self._level) * _MINUTE / self.limit
        return {
            f"x-ratelimit-limit-{self.kind}": str(self.limit),
            f"x-ratelimit-remaining-{self.kind}": str(int(self._level)),
            f"x-ratelimit-reset-{self.kind}": format_duration(reset),
        }


class Limiter:
    """Asks both buckets; a request takes from both or from none."""

    def __init__(self, limits: RateLimits, clock: Callable[[], float]) -> None:
        self._clock = clock
        now = clock()
        sizes = (("requests", limits.requests_per_minute), ("tokens", limits.tokens_per_minute))
        self._buckets = [Bucket(kind, size, now) for kind, size in sizes if size is not None]

    def admit(self, model: str, tokens: int) -> Verdict:
        """Decide on a request that costs one request and ``tokens`` tokens."""
        now = self._clock()
        worst: tuple[float, Bucket, int] | None = None
        for bucket in self._buckets:
            bucket.refill(now)
            units = 1 if bucket.kind == "requests" else tokens
            wait = bucket.wait(units)
            if wait > 0 and (worst is None or wait > worst[0]):
                worst = (wait, bucket, units)
        if worst is not None:
            return self._refuse(model, *worst)
        for bucket in self._buckets:
            bucket.take(1 if bucket.kind == "requests" else tokens)
        return Verdict(refused=None, retry_after=None, message="", headers=self._headers())

    def _headers(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for bucket in self._buckets:
            merged.update(bucket.headers())
        return merged

    def _refuse(self, model: str, wait: float, bucket: Bucket, units: int) -> Verdict:
        short = {"requests": "RPM", "tokens": "TPM"}[bucket.kind]
        start = f"for {model} on {bucket.kind} per min ({short}): Limit {bucket.limit}"
        headers = self._headers()
        if math.isinf(wait):
            message = f"Request too large {start}, Requested {units}."
        else:
            headers["retry-after"] = str(math.ceil(wait))
            headers["retry-after-ms"] = str(math.ceil(wait * 1000))
            message = (
                f"Rate limit reached {start}, Requested {units}. "
                f"Please try again in {format_duration(wait)}."
            )
        return Verdict(refused=bucket.kind, retry_after=wait, message=message, headers=headers)


def format_duration(seconds: float) -> str:
    """Return a duration as OpenAI writes it: ``12ms``, ``1s``, ``8.64s``, ``6m0s``, ``1h0m0s``."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
