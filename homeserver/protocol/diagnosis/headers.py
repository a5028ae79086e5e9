"""Why an X-Matrix header cannot be used: what it has in place of what it should have.

Rules: the header is read leniently, for the hint alone. Only the names of servers are
quoted: anything else may be a secret, of this scheme or of another one.

Specification: Server-server API, "Request Authentication"; RFC 9110, section 11.4.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from homeserver.protocol.diagnosis.base64_texts import base64_hints
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import SIGNATURE_BYTES
from homeserver.protocol.xmatrix import MAX_HEADER_LENGTH, Authorization

_FORM = 'X-Matrix origin="...",destination="...",key="ed25519:...",sig="..."'
_SCHEME = re.compile(r"\s*X-Matrix\s+", re.IGNORECASE | re.ASCII)
# Each word is looked at once, so that a long header takes no longer than its length.
_PARAMETER = re.compile(
    r'(?<![A-Za-z_])([A-Za-z_]++)\s*+[=:]\s*+(?:"([^"]*+)"|([^\s,;"]++))'
)
_KEY_ALGORITHM = "ed25519:"


def diagnose_header(header: str) -> list[Hint]:
    """What to change in an Authorization header that does not parse."""
    header = header[:MAX_HEADER_LENGTH]
    scheme = _SCHEME.match(header)
    if scheme is None:
        text = "the header has another scheme or form; send an X-Matrix header"
        return [Hint("header-scheme", text, None, _FORM)]
    found = _parameters(header[scheme.end() :])
    return [*_parameter_hints(found), *_separator_hints(header, found)]


def diagnose_destination(
    authorization: Authorization, own_name: ServerName, other_names: Sequence[str] = ()
) -> list[Hint]:
    """What to change in the `destination` of a request that `own_name` received.

    `other_names` are its name after delegation and its listener's, if they differ.
    Empty if the destination is right or missing.
    """
    destination = authorization.destination
    if destination is None or destination == own_name:
        return []
    sent, name = destination.name, own_name.name
    code, text = "name-other", "the `destination` is another server"
    if destination == authorization.origin:
        code, text = "names-exchanged", "the `destination` is the origin itself"
    elif sent.lower() == name.lower():
        code, text = "name-case", "the `destination` has other capitals"
    elif destination.host.lower() == own_name.host.lower():
        code, text = "name-port", "the `destination` has another port, or none"
    elif sent in other_names:
        code, text = "name-delegated", "the `destination` is the name after delegation"
    text += "; send and sign the server name that was resolved, byte for byte"
    return [Hint(code, text, clip(sent), name)]


def _parameters(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in _PARAMETER.finditer(rest):
        found.setdefault(each[1].lower(), each[3] if each[2] is None else each[2])
    return found


def _separator_hints(header: str, found: Mapping[str, str]) -> Iterator[Hint]:
    try:
        Authorization.parse(header)
    except ProtocolError as problem:
        is_form = "not a list of name=value" in str(problem)
        if (is_form or "no comma" in str(problem)) and len(found) > 1:
            text = "the parameters are name=value pairs, separated by commas"
            yield Hint("header-separator", text, None, _FORM)


def _parameter_hints(found: Mapping[str, str]) -> Iterator[Hint]:
    missing = [name for name in ("origin", "key", "sig") if name not in found]
    if missing:
        text = f"the header has no {' and no '.join(missing)}"
        yield Hint("header-missing", text, None, _FORM)
    for part in ("origin", "destination"):
        yield from name_hints(f"the header's {part}", found.get(part, ""))
    key = found.get("key", "")
    if key and not key.startswith(_KEY_ALGORITHM):
        text = "the key ID is the algorithm, a colon and a version"
        yield Hint("key-id-algorithm", text, None, f"{_KEY_ALGORITHM}...")
    if "sig" in found:
        sig = found["sig"]
        yield from base64_hints(
            "the header's sig", sig, SIGNATURE_BYTES, is_shown=False
        )


def name_hints(what: str, value: str) -> Iterator[Hint]:
    """The hint on a URL or a user ID where a server name should be."""
    if "://" in value:
        text = f"{what} is a URL; it is a server name, without scheme and path"
        host = value.partition("://")[2].partition("/")[0]
        yield Hint("name-url", text, clip(value), clip(host))
    elif value.startswith("@"):
        text = f"{what} is a user ID; it is the name of the server"
        yield Hint("name-user", text, clip(value), clip(value.partition(":")[2]))
