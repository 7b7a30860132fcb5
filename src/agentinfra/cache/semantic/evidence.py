"""What a partition has learnt about its own mistakes, and whether it may serve."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agentinfra.cache.semantic.bounds import interval, lower_bound, proven

__all__ = ["Audits", "Evidence"]

_WIDTH = 0.02
_BANDS = 100
_RECENT = 1_000
_MOST_RECORDS = 20_000
_SURE = 0.99
"""How sure it has to be that too much is false to switch off: it is asked after every audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audits:
    """What auditing found: a share of the hits, picked by chance, was loaded all the same.

    Attributes:
        audited: Hits that were loaded.
        false: Those whose loaded answer was another one.
        rate: The share of false hits among all hits, without bias; 0.0 where none was audited.
        low: The lower end of its interval.
        high: The upper end.
    """

    audited: int = 0
    false: int = 0
    rate: float = 0.0
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, audited: int, false: int, confidence: float) -> Audits:
        """Return what so many audits say."""
        if not audited:
            return cls()
        low, high = interval(false, audited, confidence)
        return cls(audited=audited, false=false, rate=false / audited, low=low, high=high)


class _Record:
    """The labels of one entry, and the highest band in which it was wrong."""

    __slots__ = ("false", "labels", "worst")

    def __init__(self) -> None:
        self.labels = 0
        self.false = 0
        self.worst = -1


class Evidence:
    """The labels of one partition by bands of score, and by entry.

    A band is open where it is proven that the share of wrong labels, in it and in all above it, is
    below what is allowed; and there an entry that was wrong itself stays shut, up to the band in
    which it was, until its own labels alone prove it. A band that is open is labelled by
    its audits only: fewer labels, and no others than chance picked, so that they still say what
    share is wrong.

    Args:
        allowed: The share of false hits that is allowed.
        confidence: Of the bounds.
    """

    __slots__ = (
        "_allowed",
        "_confidence",
        "_entries",
        "_false",
        "_labels",
        "_opens",
        "_recent",
        "audited",
        "false",
        "off",
    )

    def __init__(self, allowed: float, confidence: float) -> None:
        self._allowed = allowed
        self._confidence = confidence
        self._labels = [0] * _BANDS
        self._false = [0] * _BANDS
        self._entries: dict[str, _Record] = {}
        self._opens = _BANDS
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self.audited = 0
        self.false = 0
        self.off = False

    @property
    def labels(self) -> int:
        """The labels it has."""
        return sum(self._labels)

    @property
    def opens_at(self) -> float | None:
        """The least score that is served, None where none is."""
        return self._opens * _WIDTH if self._opens < _BANDS else None

    def serves(self, score: float, entry: str) -> bool:
        """Say whether an entry may be served at a score."""
        band = _band(score)
        if band < self._opens:
            return False
        record = self._entries.get(entry)
        if record is None or band > record.worst:
            return True
        return proven(record.false, record.labels, self._allowed, self._confidence)

    def learn(self, score: float, entry: str, *, right: bool) -> None:
        """Take a label: what an entry would have been served for, and whether it was right."""
        band = _band(score)
        self._labels[band] += 1
        record = self._entries.get(entry)
        if not right:
            self._false[band] += 1
            if record is None:
                record = self._entries[entry] = _Record()
            record.false += 1
            record.worst = max(record.worst, band)
        if record is not None:
            record.labels += 1
            while len(self._entries) > _MOST_RECORDS:  # of entries the store has dropped
                del self._entries[next(iter(self._entries))]
        self._opens = self._lowest()
        if self.off and self._opens < _BANDS:
            self.off = False

    def audit(self, score: float, entry: str, *, right: bool) -> bool:
        """Take the label of a hit that was loaded all the same.

        Returns:
            Whether the partition has just switched itself off: its audits say that more hits are
            false than allowed. It learns anew, from nothing.
        """
        self.audited += 1
        self.false += not right
        self._recent.append(right)
        self.learn(score, entry, right=right)
        if right:
            return False
        wrong = self._recent.count(False)
        if lower_bound(wrong, len(self._recent), _SURE) <= self._allowed:
            return False
        self._labels = [0] * _BANDS
        self._false = [0] * _BANDS
        self._recent.clear()
        self._opens = _BANDS
        self.off = True
        return True

    def forget(self, entry: str) -> None:
        """Drop what is known of an entry that is gone."""
        self._entries.pop(entry, None)

    def _lowest(self) -> int:
        """Return the lowest band that is open: it and those above it are proven."""
        lowest, labels, false = _BANDS, 0, 0
        for band in range(_BANDS - 1, -1, -1):
            if not self._labels[band]:
                continue
            labels += self._labels[band]
            false += self._false[band]
            if proven(false, labels, self._allowed, self._confidence):
                lowest = band
        return lowest


def _band(score: float) -> int:
    return max(0, min(_BANDS - 1, int(score / _WIDTH)))
