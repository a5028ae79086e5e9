"""What a lab tells a test suite.

Rules: each value has the members that tests look at, and all of its JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from homeserver.testing.link import Answer


@dataclass(frozen=True, kw_only=True)
class ApiValue:
    """A value of the control API."""

    json: Answer = field(repr=False)
    """All members, as the control API has them."""

    @classmethod
    def of(cls, json: Answer) -> Self:
        """The same with its members; None for one that is left out."""
        names = (each.name for each in fields(cls) if each.name != "json")
        return cls(json=json, **{name: json.get(name) for name in names})


@dataclass(frozen=True, kw_only=True)
class Exchange(ApiValue):
    """What passed between a server of the lab and another one."""

    id: int
    kind: str
    """`dns`, `connection` or `request`."""

    direction: str
    """`in` or `out`."""

    server: str | None
    peer: str | None
    method: str | None
    path: str | None
    status: int | None
    reason: str | None
    """The code of what is wrong with it; None if nothing is."""

    error: str | None
    txn_id: str | None

    def __str__(self) -> str:
        """As a line."""
        what = " ".join(filter(None, [self.method, self.path]))
        arrow = "<-" if self.direction == "in" else "->"
        parts = [self.id, self.kind, self.server or "?", arrow, self.peer or "?", what]
        if self.status is not None:
            parts.append(self.status)
        if self.reason is not None:
            parts.append(": ".join(filter(None, [self.reason, self.error])))
        return " ".join(map(str, parts))


@dataclass(frozen=True, kw_only=True)
class Response(ApiValue):
    """The result of a request."""

    status: int | None
    """None: there was no response."""

    content: Any
    headers: Sequence[Sequence[str]]
    exchange: int
    """The ID of its exchange."""

    verified_by: str | None
    reason: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Sent(ApiValue):
    """How far a transaction is."""

    id: int
    state: str
    """`queued`, `sending`, `delivered`, `rejected` or `dropped`."""

    txn_id: str | None
    error: str | None
    reply: Any


class ExpectationFailed(AssertionError):
    """What was expected has not happened; `str()` says what was nearest."""

    def __init__(
        self,
        wanted: Mapping[str, object],
        answer: Answer,
        *,
        count: int = 1,
        never: bool = False,
    ) -> None:
        """`count` exchanges were to come, or none at all (`never`)."""
        self.matched = [Exchange.of(each) for each in answer.get("matched", [])]
        self.nearest = answer.get("nearest", [])
        members = ", ".join(f"{k}={v!r}" for k, v in wanted.items())
        due = "none" if never else count
        lines = [f"exchanges with {members}: {len(self.matched)} seen, {due} wanted"]
        for miss in self.nearest:
            differs = "; ".join(
                f"{name} is {each['seen']!r}, not {each['wanted']!r}"
                for name, each in miss["differs"].items()
            )
            lines.append(f"  {Exchange.of(miss['exchange'])}")
            lines.append(f"    {differs}")
        super().__init__("\n".join(lines))
