"""How a request of a check differs from the usual one.

Rules: values only. What is not there is as usual.
"""

from collections.abc import Callable, Sequence
from typing import TypedDict

from homeserver.conformance.ours import Ours
from homeserver.control.signed_parts import SignBody
from homeserver.lab.spoil.draft import Draft

Wire = Callable[
    [list[tuple[str, str]], bytes | None], tuple[list[tuple[str, str]], bytes | None]
]
"""Makes other headers and another body of those of a request."""


class Limits(TypedDict, total=False):
    """What of a reply is taken."""

    seconds: float
    """Within which it has to come."""

    takes_limit: bool
    """Whether 429 is a reply as any other; else the request is made again."""


class How(Limits, total=False):
    """How a request is made, where it is not as usual."""

    ours: Ours | None
    """Whose it is, in the record."""


class Changes(Limits, total=False):
    """What a signed request is to be, where it is not the usual one."""

    content: object
    query: str | None
    headers: dict[str, str]
    sign: SignBody | None
    """What is signed, where it differs from what is sent; None for no signature."""

    spoil: list[str]
    """Mistakes of `lab.spoil`."""

    authorization: Callable[[Draft], Sequence[str]]
    """Makes the `Authorization` headers of the signed draft, in place of its own."""

    wire: Wire
    """Changes what goes over the wire, after it was signed."""
