"""The wrong targets that implementations sign as `uri`.

Rules: a target is text as on the wire; it is taken apart here and nowhere parsed. Each
wrong target comes with the code of the mistake, the most common first.

Specification: Server-server API, "Request Authentication": `uri` is the path and the
query as sent.
"""

import re
from collections.abc import Iterator, Sequence

from homeserver.protocol.diagnosis.hint import Hint, compared
from homeserver.protocol.federation_paths import V1, V2

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_PREFIXES = (V1, V2, "/_matrix/federation")
_SCHEMES = ("https://", "matrix://", "http://")

# RFC 3986: what is never escaped, and what need not be escaped in a path.
_UNRESERVED = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_IN_PATH = _UNRESERVED | frozenset("!$&'()*+,;=:@/")

_TEXTS = {
    "uri-decoded": "the signature is over the decoded target; sign `uri` with the "
    "percent-escapes of the request line",
    "uri-escapes": "the signature is over other percent-escapes; sign `uri` exactly "
    "as in the request line",
    "uri-query": "the signature is over another query; sign `uri` with the query as in "
    "the request line",
    "uri-slash": "the signature is over a path with other slashes; sign `uri` exactly "
    "as in the request line",
    "uri-url": "the signature is over the whole URL; sign the path and the query alone",
    "uri-prefix": "the signature is over a path without its beginning; sign the whole "
    "path, from `/_matrix` on",
}


def wrong_targets(uri: str, hosts: Sequence[str]) -> Iterator[tuple[str, Hint]]:
    """Each wrong target with its hint; `hosts` are the names of the server."""
    seen = {uri}
    for code, target in _wrong(uri, hosts):
        if target not in seen:
            seen.add(target)
            yield target, compared(code, _TEXTS[code], target, uri)


def _wrong(uri: str, hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    path, mark, query = uri.partition("?")
    decoded = _decode(path)
    yield "uri-decoded", _decode(uri)
    yield "uri-decoded", decoded + mark + query
    yield "uri-query", path
    yield "uri-slash", path.removesuffix("/") + mark + query
    yield "uri-slash", path + "/" + mark + query
    for prefix in _PREFIXES:
        if path.startswith(prefix):
            yield "uri-prefix", uri.removeprefix(prefix)
    yield "uri-prefix", uri.removeprefix("/_matrix")
    yield "uri-prefix", uri.removeprefix("/")
    for scheme in _SCHEMES:
        for host in hosts:
            yield "uri-url", scheme + host + uri
    yield "uri-escapes", _encode(decoded, _UNRESERVED | {"/"}) + mark + query
    yield "uri-escapes", _encode(decoded, _IN_PATH) + mark + query
    yield "uri-escapes", _encode(path, _IN_PATH) + mark + query
    yield "uri-escapes", _ESCAPE.sub(lambda each: each[0].lower(), uri)
    yield "uri-escapes", _ESCAPE.sub(lambda each: each[0].upper(), uri)
    yield "uri-slash", re.sub("/{2,}", "/", path) + mark + query
    yield "uri-query", path + "?" + query
    yield "uri-query", path + mark + query.replace("+", "%20")
    yield "uri-query", path + mark + query.replace("%20", "+")
    yield "uri-query", path + mark + "&".join(sorted(query.split("&")))
    yield "uri-query", path + mark + _encode(_decode(query), _UNRESERVED | {"=", "&"})


def _decode(text: str) -> str:
    """Text with its escapes decoded as UTF-8; what is not UTF-8 is replaced."""
    if "%" not in text:
        return text
    data = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda each: bytes.fromhex(each[1].decode("ascii")),
        text.encode("utf-8", "replace"),
    )
    return data.decode("utf-8", "replace")


def _encode(text: str, kept: frozenset[str]) -> str:
    return "".join(
        char if char in kept else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in text
    )
