"""Our server without its bounds on strangers: what they cost is the difference.

Rules: what an honest request pays for a bound is taken away here, and nothing else:
connections and bodies are not counted by client, no client has a budget, a request is
not judged by its head alone, and the values of a body are not counted.
"""

from collections.abc import Callable
from io import BytesIO

from homeserver.cli.main import main
from homeserver.http.arriving import ArrivingBodies, Body
from homeserver.http.bounded_request import BoundedRequest
from homeserver.http.connections import Connections
from homeserver.http.rate_limit import TokenBuckets
from homeserver.protocol import bodies
from homeserver.protocol.errors import Overloaded


def _open(own: ArrivingBodies, _: str, give_way: Callable[[Overloaded], None]) -> Body:
    """A body that counts for no client."""
    return Body(own, None, give_way)


def _got_length(own: BoundedRequest, _: int | None) -> None:
    """Keep the body, and judge the request when it is complete."""
    own.content = BytesIO()


def _nothing(*_: object) -> None:
    """Do nothing."""


def remove_bounds() -> None:
    """Take the bounds away from this process."""
    replacements: list[tuple[object, str, Callable[..., object]]] = [
        (Connections, "admit", lambda *_: True),
        (Connections, "add", _nothing),
        (Connections, "remove", _nothing),
        (ArrivingBodies, "open", _open),
        (BoundedRequest, "gotLength", _got_length),
        (TokenBuckets, "take", _nothing),
        (TokenBuckets, "check", _nothing),
        (TokenBuckets, "charge", _nothing),
        (bodies, "check_size_of_json", _nothing),
    ]
    for owner, name, replacement in replacements:
        if not hasattr(owner, name):
            raise AttributeError(f"{owner!r} has no {name} any more")
        setattr(owner, name, replacement)


if __name__ == "__main__":
    remove_bounds()
    main()
