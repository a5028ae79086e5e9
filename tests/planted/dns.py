"""A look-up of a homeserver in the DNS, with a mistake to switch on.

Rules: as in `server`; a question is written by hand.
"""

import secrets
import socket

_A, _SRV, _IN = 1, 33, 1
_SECONDS = 20.0


def look_up(name: str, dns: str, faults: frozenset[str] = frozenset()) -> None:
    """Ask for what leads to a homeserver: its SRV records, then an address."""
    if "srv-ignored" not in faults:
        _ask(f"_matrix-fed._tcp.{name}", _SRV, dns)
    _ask(name, _A, dns)


def _ask(name: str, kind: int, dns: str) -> bytes:
    host, _, port = dns.rpartition(":")
    labels = [label.encode() for label in name.split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = secrets.token_bytes(2) + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    question = head + encoded + kind.to_bytes(2, "big") + _IN.to_bytes(2, "big")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(_SECONDS)
        connection.sendto(question, (host, int(port)))
        answer = connection.recv(4096)
    assert answer[:2] == question[:2]
    return answer
