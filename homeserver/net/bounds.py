"""Bounds: limits on what others can make this process hold or do.

Rules: a component makes one `Bound` for each of its limits and counts what the limit
turns away. It knows neither the metrics nor the control API: both read the list of all
bounds.
"""

from collections.abc import Callable


class Bound:
    """One limit, its use at this moment and how often it was reached."""

    def __init__(
        self, name: str, what: str, limit: int, use: Callable[[], int]
    ) -> None:
        """`name` is a metric's label, `what` a noun phrase that names what is counted.

        The unit of `use` and `limit` is that of `what`.
        """
        self.name = name
        self.what = what
        self.limit = limit
        self.use = use
        self.refusals = 0
        """How often the limit turned something away, or pushed something out."""

    @property
    def is_reached(self) -> bool:
        """Whether there is no room for one more."""
        return self.use() >= self.limit

    def refuse(self, count: int = 1) -> None:
        """Count what the limit turned away, or pushed out."""
        self.refusals += count
