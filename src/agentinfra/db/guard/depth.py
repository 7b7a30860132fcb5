"""How deep a statement can nest, told from its tokens alone.

The parser hands its tree over by recursion in C without looking at the stack: some ten thousand
``+1`` in a row end the process, on a thread with a small stack a few hundred do. So the depth is
bounded before the statement is parsed, from a scan that does not recurse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["estimate"]

_OPENING = frozenset({"ASCII_40", "ASCII_91"})  # ( [
_CLOSING = frozenset({"ASCII_41", "ASCII_93"})  # ) ]
_SEPARATORS = frozenset({"ASCII_44", "ASCII_59"})  # , ;
_LABEL_FOLLOWS = frozenset({"ASCII_46", "AS"})  # after a dot or AS any keyword is a mere name
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_LEFT_NESTING = frozenset({"UNION", "INTERSECT", "EXCEPT", "JOIN"})
_LEAVES = frozenset(
    {"IDENT", "UIDENT", "ICONST", "FCONST", "SCONST", "USCONST", "BCONST", "XCONST"}
    | {"PARAM", "ASCII_46"}
)


class _Group:
    """What stands between two brackets: its deepest part so far, and the part being read."""

    __slots__ = ("betweens", "child", "deepest", "is_case", "own", "spanning")

    def __init__(self, *, is_case: bool = False) -> None:
        self.is_case = is_case
        self.betweens = 0  # BETWEENs whose AND is still to come
        self.child = 0  # the deepest group inside of the part being read
        self.deepest = 0
        self.own = 0  # tokens of the part being read, each of which may nest once more
        self.spanning = 0  # UNION and JOIN nest to the left across all parts

    def end_part(self) -> None:
        self.deepest = max(self.deepest, self.own + self.child)
        self.own = self.child = 0

    def depth(self) -> int:
        self.end_part()
        return self.deepest + self.spanning + 1

    def read(self, kind: str) -> None:
        if kind in _LEFT_NESTING:  # what is on its two sides lies side by side
            self.spanning += 1
            self.end_part()
        elif self._separates(kind):
            self.end_part()
        elif kind not in _LEAVES:
            self.own += 1
            self.betweens += kind == "BETWEEN"

    def _separates(self, kind: str) -> bool:
        if kind == "AND" and self.betweens:
            self.betweens -= 1
            return False
        return kind in ("AND", "OR") or (self.is_case and kind in ("WHEN", "THEN"))


class _Stack:
    """The brackets that are open."""

    __slots__ = ("groups",)

    def __init__(self) -> None:
        self.groups = [_Group()]

    def read(self, kind: str) -> None:
        if kind in _OPENING or kind == "CASE":
            self.groups.append(_Group(is_case=kind == "CASE"))
        elif kind in _CLOSING:
            self._leave_cases()
            self._leave()
        elif kind in _SEPARATORS:
            self._leave_cases()
            self.groups[-1].end_part()
        elif kind == "END_P" and self.groups[-1].is_case:
            self._leave()
        else:
            self.groups[-1].read(kind)

    def _leave(self) -> None:
        if len(self.groups) > 1:
            inner = self.groups.pop().depth()
            self.groups[-1].child = max(self.groups[-1].child, inner)

    def _leave_cases(self) -> None:
        # A CASE that a comma or bracket ends was a name, and what followed it belongs outside.
        while self.groups[-1].is_case:
            self._leave()

    def depth(self) -> int:
        while len(self.groups) > 1:
            self._leave()
        return self.groups[0].depth()


def estimate(kinds: Iterable[str]) -> int:
    """Return a bound of how deep the parse tree is, in steps of a few tree nodes.

    Operands of AND, OR and commas lie side by side in the tree; anything else may nest.

    Args:
        kinds: The names of the scanner's tokens.
    """
    stack = _Stack()
    before = ""
    for kind in kinds:
        if kind in _COMMENTS:
            continue
        stack.read("IDENT" if before in _LABEL_FOLLOWS and kind not in _OPENING else kind)
        before = kind
    return stack.depth()
