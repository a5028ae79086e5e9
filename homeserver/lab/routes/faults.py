"""The route that lists the faults of rules, for those who choose one.

Rules: as those of `control.routes`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.faults.registry import FAULTS


class FaultView(Struct, frozen=True):
    """A fault that a rule may have."""

    name: Annotated[str, Meta(description="As in `do` of a rule.")]
    argument: Annotated[str, Meta(description="What its argument is, in words.")]
    answer: Annotated[str, Meta(description="A sentence about the answer.")]
    right: Annotated[
        str, Meta(description="A sentence about what a right server does then.")
    ]


class FaultsView(Struct, frozen=True):
    """All faults, in the order in which they act."""

    faults: list[FaultView]


def fault_routes() -> list[ControlRoute]:
    """The faults."""

    def listed(_: Call[Nothing, Nothing]) -> FaultsView:
        """The faults that rules may have."""
        return FaultsView(
            [
                FaultView(name, each.argument, each.summary, each.right)
                for name, each in FAULTS.items()
            ]
        )

    return [route("GET", "/v1/faults", listed)]
