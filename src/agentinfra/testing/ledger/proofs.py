"""What the records of a ledger prove, or why they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from agentinfra.settings import ModelPrice
from agentinfra.testing.ledger.records import RequestRecord, shown

__all__ = ["attempts", "costs", "single_flight", "spend"]

_SHOWN = 40


def attempts(records: Sequence[RequestRecord], count: int) -> None:
    """Check that each of the requests was sent so often.

    Raises:
        AssertionError: One was sent more or less often, or there is none.
    """
    wrong = [
        f"{shown(equal[0])} was sent {_times(len(equal))}"
        for equal in _equal(records)
        if len(equal) != count
    ]
    if wrong or not records:
        _fail(wrong or ["no request came"], f"each should be sent {_times(count)}", records)


def single_flight(records: Sequence[RequestRecord]) -> None:
    """Check that no two equal requests were in flight at once, or answered.

    Raises:
        AssertionError: Two were, or there is none.
    """
    wrong = []
    for equal in _equal(records):
        answered = sum(record.status == 200 and record.finished for record in equal)
        if answered > 1:
            wrong.append(f"{shown(equal[0])} was answered {_times(answered)}")
        if (most := _most_at_once(equal)) > 1:
            wrong.append(f"{shown(equal[0])} was in flight {_times(most)} at once")
    if wrong or not records:
        _fail(wrong or ["no request came"], "each should be asked for once", records)


def costs(records: Iterable[RequestRecord], prices: Mapping[str, ModelPrice]) -> dict[str, Decimal]:
    """Return what the answers of each model cost in USD.

    Raises:
        AssertionError: The price of a model is not known.
    """
    from agentinfra.llm.money.prices import PriceBook

    book = PriceBook(prices)
    spent: defaultdict[str, Decimal] = defaultdict(Decimal)
    for record in records:
        if record.usage is None:
            continue
        model = record.model or ""
        cost = book.cost(model, record.usage)
        if cost is None:
            raise AssertionError(
                f"nobody knows what {model!r} costs ({shown(record)}); give its price: "
                f"prices={{{model!r}: ModelPrice(input=..., output=...)}}"
            )
        spent[model] += cost
    return dict(spent)


def spend(spent: Mapping[str, Decimal], at_most: Decimal) -> Decimal:
    """Check what was spent in all; return it.

    Raises:
        AssertionError: It was more.
    """
    total = sum(spent.values(), Decimal(0))
    if total > at_most:
        each = ", ".join(f"{model}: {cost:f}" for model, cost in spent.items())
        raise AssertionError(f"{total:f} USD was spent, at most {at_most:f} may be ({each})")
    return total


def _equal(records: Iterable[RequestRecord]) -> list[list[RequestRecord]]:
    """Return the requests in groups of equal ones, whatever the order of their keys."""
    groups: defaultdict[tuple[str, str, bytes], list[RequestRecord]] = defaultdict(list)
    for record in records:
        groups[record.method, record.path, _canonical(record.body)].append(record)
    return list(groups.values())


def _canonical(body: Any) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _most_at_once(equal: Sequence[RequestRecord]) -> int:
    """Return how many of them were in flight at the worst moment, which is when one came."""
    return max(
        sum(
            other.index <= record.index
            and (other.duration is None or other.time + other.duration > record.time)
            for other in equal
        )
        for record in equal
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _fail(wrong: Sequence[str], expected: str, records: Sequence[RequestRecord]) -> NoReturn:
    lines = [f"  {record.index}. {shown(record)} -> {_became(record)}" for record in records]
    if len(lines) > _SHOWN:
        lines = [f"  ... {len(lines) - _SHOWN} more before", *lines[-_SHOWN:]]
    raise AssertionError(
        "\n".join([f"{'; '.join(wrong)}; {expected}", "what was asked:", *(lines or ["  nothing"])])
    )


def _became(record: RequestRecord) -> str:
    status = "no answer" if record.status is None else str(record.status)
    return f"{status}, fault {record.fault}" if record.fault else status
