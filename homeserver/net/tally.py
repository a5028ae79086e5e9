"""How many works each group has, where a work belongs to several groups.

Rules: a group without works is left out, so that a tally is as large as what it counts.
Each step costs what the groups of one work cost, however many others there are: the
tallies are asked for each request of a crowd.
"""

from collections.abc import Iterable, Set


class Tally(dict[str, int]):
    """{group: the number of its works}."""

    def __init__(self) -> None:
        super().__init__()
        self._by_number: dict[int, set[str]] = {0: set()}
        self._most = 0

    def add(self, groups: Iterable[str]) -> None:
        """Count a work in its groups."""
        for group in groups:
            number = self.get(group, 0)
            self._move(group, number, number + 1)
            self._most = max(self._most, number + 1)

    def remove(self, groups: Iterable[str]) -> None:
        """Stop counting a work."""
        for group in groups:
            number = self[group]
            self._move(group, number, number - 1)
            if number == self._most and number not in self._by_number:
                self._most = number - 1

    def size(self, groups: Iterable[str]) -> int:
        """The number of works of the largest of some groups."""
        most = 0
        for group in groups:
            most = max(most, self.get(group, 0))
        return most

    def largest(self) -> tuple[int, Set[str]]:
        """The number of works of the largest group, and all groups of that size.

        The groups are those of now: the next step may change them.
        """
        return self._most, self._by_number[self._most]

    def _move(self, group: str, before: int, after: int) -> None:
        if before:
            same = self._by_number[before]
            same.remove(group)
            if not same:
                del self._by_number[before]
        if after:
            self[group] = after
            self._by_number.setdefault(after, set()).add(group)
        else:
            del self[group]
