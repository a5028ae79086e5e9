"""How many works each group has, where a work belongs to several groups.

Rules: a group without works is left out, so that a tally is as large as what it counts.
Each step costs what the groups of one work cost, or one pass over all groups in C: the
tallies are asked for each request of a crowd.
"""

from collections.abc import Iterable


class Tally(dict[str, int]):
    """{group: the number of its works}."""

    def add(self, groups: Iterable[str]) -> None:
        """Count a work in its groups."""
        for group in groups:
            self[group] = self.get(group, 0) + 1

    def remove(self, groups: Iterable[str]) -> None:
        """Stop counting a work."""
        for group in groups:
            if self[group] == 1:
                del self[group]
            else:
                self[group] -= 1

    def size(self, groups: Iterable[str]) -> int:
        """The number of works of the largest of some groups."""
        most = 0
        for group in groups:
            most = max(most, self.get(group, 0))
        return most

    def largest(self) -> tuple[int, frozenset[str]]:
        """The number of works of the largest group, and all groups of that size."""
        most = max(self.values(), default=0)
        return most, frozenset(group for group, n in self.items() if n == most)
