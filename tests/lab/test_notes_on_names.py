"""What a server of a lab says of its name, where not everyone finds it."""

import pytest
from msgspec import UNSET

from homeserver.lab.servers.names import note_on
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName

PORT = "others connect to port 9, and it listens at "

CASES: list[tuple[str, str, str | None]] = [
    ("a.lab.test", "127.0.0.1:7", None),
    ("a.lab.test:7", "127.0.0.1:7", None),
    ("127.0.0.1:7", "127.0.0.1:7", None),
    ("localhost:7", "127.0.0.1:7", None),
    ("a.other.test", "127.0.0.1:7", "a.other.test is not below lab.test"),
    ("a.lab.test:9", "127.0.0.1:7", f"{PORT}127.0.0.1:7"),
    ("localhost:9", "127.0.0.1:7", f"{PORT}127.0.0.1:7"),
    ("[::1]:9", "[::1]:7", f"{PORT}[::1]:7"),
    ("localhost:8448", "127.0.0.1:7", "others connect to port 8448"),
    ("localhost:8448", "127.9.9.9:7", None),  # there is a listener at that port, too
]


@pytest.mark.parametrize(("name", "listen", "beginning"), CASES)
def test_note(name: str, listen: str, beginning: str | None) -> None:
    """A name with another port than the listener's is unreachable without help."""
    address = SocketAddress.parse(listen)
    note = note_on(ServerName.parse(name), "lab.test", address)
    if beginning is None:
        assert note is UNSET
    else:
        assert str(note).startswith(beginning)
