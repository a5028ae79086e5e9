"""A: each check has a fault that turns it red."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import unquote

from msgspec.structs import replace

from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.protocol.errors import BadAuthorization, Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from homeserver.protocol.xmatrix_headers import XMatrixHeaders
from tests.conformance.faulty import Row, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_HEADERS = "homeserver.protocol.xmatrix_headers"

_Change = Callable[[FederationRequest], FederationRequest]
_verify = FederationRequest.verify
_request_key = Keyring.request_key
_check = XMatrixHeaders.check


def _reads(read: Callable[[str], Authorization]) -> Fault:
    return patched({f"{_HEADERS}.Authorization": SimpleNamespace(parse=read)})


def _refuses(pattern: str) -> Fault:
    """A parser that knows one form less."""

    def read(header: str) -> Authorization:
        if re.search(pattern, header):
            raise BadAuthorization("unknown form")
        return Authorization.parse(header)

    return _reads(read)


def _breaks(text: str) -> Fault:
    """A parser that falls over one malformed header, by the error that is due."""

    def read(header: str) -> Authorization:
        try:
            return Authorization.parse(header)
        except BadAuthorization as problem:
            if text in str(problem):
                raise PlantedError(text) from None
            raise

    return _reads(read)


def _any_destination(header: str) -> Authorization:
    return replace(Authorization.parse(header), destination=None)


def _no_header(
    headers: XMatrixHeaders, own_name: ServerName
) -> Sequence[Authorization]:
    if not headers.texts:
        raise BadAuthorization("there is none")
    return _check(headers, own_name)


def _verifies(*variants: _Change) -> Fault:
    """A verification of other requests than the one that came."""

    def verify(
        request: FederationRequest,
        authorizations: Sequence[Authorization],
        keys: Mapping[KeyId, VerifyKey],
    ) -> KeyId:
        *others, last = variants
        for change in others:
            with suppress(Unauthorized):
                return _verify(change(request), authorizations, keys)
        return _verify(last(request), authorizations, keys)

    return patched({"homeserver.protocol.xmatrix.FederationRequest.verify": verify})


def _as_it_came(request: FederationRequest) -> FederationRequest:
    return request


def _also(**changes: object) -> Fault:
    return _verifies(_as_it_came, lambda request: replace(request, **changes))


def _without_query(request: FederationRequest) -> FederationRequest:
    return replace(request, uri=request.uri.partition("?")[0])


def _decoded(request: FederationRequest) -> FederationRequest:
    return replace(request, uri=unquote(request.uri))


def _with_content(request: FederationRequest) -> FederationRequest:
    return replace(request, content=request.content or {})


def _nothing_verified(
    _: FederationRequest, __: object, keys: Mapping[KeyId, VerifyKey]
) -> KeyId:
    return next(iter(keys))


def _breaks_on(
    is_meant: Callable[[ServerName, KeyId], bool],
) -> Fault:
    """A look-up of keys that falls over some of them."""

    async def request_key(
        keyring: Keyring, origin: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        if is_meant(origin, key_id):
            raise PlantedError("no key")
        return await _request_key(keyring, origin, key_id, cause)

    return patched({"homeserver.keys.keyring.Keyring.request_key": request_key})


_XMATRIX = "homeserver.protocol.xmatrix.FederationRequest"

ROWS: list[Row] = [
    ("GET verified with content", _verifies(_with_content), {"A01", "A24"}),
    (
        "400 without a header",
        patched({f"{_HEADERS}.XMatrixHeaders.check": _no_header}),
        {"A02"},
    ),
    ("breaks on Bearer", _breaks("is not X-Matrix"), {"A04", "A38"}),
    ("scheme compared as it is", _refuses("^x-matrix"), {"A05"}),
    ("one space", _refuses("^X-Matrix  "), {"A06"}),
    ("no space before commas", _refuses(" ,"), {"A07"}),
    ("names compared as they are", _refuses("ORIGIN="), {"A08"}),
    ("origin comes first", _refuses("^X-Matrix sig"), {"A09"}),
    ("quotes needed", _refuses('origin=[^"]'), {"A10"}),
    ("unknown parameters refused", _refuses('colour="red"'), {"A11"}),
    ("no escapes", _refuses(r"\\"), {"A12"}),
    ("destination needed", _refuses("(?i)^(?!.*destination)"), {"A13", "A16"}),
    ("split at each comma", _refuses('="[^"]*,'), {"A36"}),
    ("destination not compared", _reads(_any_destination), {"A14"}),
    (
        "nothing verified",
        patched({f"{_XMATRIX}.verify": _nothing_verified}),
        {"A15", "A16", "A17", "A18", "A19", "A20", "A21", "A23", "A24"},
    ),
    (
        "signed for another is enough",
        _also(destination=ServerName.parse("elsewhere.invalid")),
        {"A15", "A16"},
    ),
    ("body not covered", _also(content={"pdus": []}), {"A18"}),
    ("path not covered", _also(uri="/_matrix/federation/v1/send/other"), {"A19"}),
    ("method not covered", _also(method="POST"), {"A20"}),
    ("query not covered", _verifies(_as_it_came, _without_query), {"A21"}),
    ("decoded before it is verified", _verifies(_decoded), {"A22", "A23"}),
    ("breaks on what is no base64", _breaks("not base64"), {"A25"}),
    ("breaks on a short signature", _breaks("63 bytes"), {"A26"}),
    ("breaks without a key", _breaks("header has no key"), {"A28"}),
    ("breaks on another algorithm", _breaks("rsa:"), {"A29"}),
    ("breaks on what is no name", _breaks("each label"), {"A33"}),
    ("breaks on what is not ASCII", _breaks("not ASCII"), {"A39"}),
    ("breaks on an unknown key", _breaks_on(lambda _, k: "never" in k), {"A30"}),
    (
        "breaks on an unknown origin",
        _breaks_on(lambda o, _: o.name == "elsewhere.invalid"),
        {"A31"},
    ),
    (
        "breaks on its own name",
        _breaks_on(lambda o, _: o.host == "localhost"),
        {"A32"},
    ),
    (
        "silent on a long header",
        patched(
            {
                "homeserver.http.site._Channel.refuse_malformed": lambda _: None,
                "homeserver.conformance.checks.x_matrix.LATE_SECONDS": 2.0,
            }
        ),
        {"A35"},
    ),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["A"])
