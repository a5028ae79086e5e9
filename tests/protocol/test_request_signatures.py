"""What of a request its X-Matrix signature proves.

Rules: the test vectors come out byte by byte; a request in which anything is changed
verifies by no signature of the first one.
"""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from homeserver.protocol.canonical_json import Encoded, Json, encode
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.signing_vectors import KEY, OTHER_KEY
from tests.support.tables import cases

KEY_BY_ID = {KEY.key_id: KEY.verify_key}
OTHER_KEY_BY_ID = {OTHER_KEY.key_id: OTHER_KEY.verify_key}

ORIGIN = ServerName.parse("domain")
DESTINATION = ServerName.parse("other.example")

V1 = "/_matrix/federation/v1"

TRANSACTION: Json = {
    "edus": [],
    "origin": "domain",
    "origin_server_ts": 1000000,
    "pdus": [],
}


def request(
    method: str = "PUT", uri: str = f"{V1}/send/1", content: Json | None = None
) -> FederationRequest:
    """A request from ORIGIN to DESTINATION."""
    return FederationRequest(method, uri, ORIGIN, DESTINATION, content)


VECTORS: list[tuple[str, FederationRequest, str]] = [
    (
        "get",
        request("GET", f"{V1}/version"),
        (
            "C+tYWIqi61/z1AJS4IOkROoHm1CPClHdT12E2otPqHnqBr2Ll2VzaAVyDLpADSvFEZtFZwM3JaM2"
            "YgueVeSACQ"
        ),
    ),
    (
        "query with percent-escapes",
        request("GET", f"{V1}/query/profile?user_id=%40a%3Aother.example"),
        (
            "7TfLy3Ovbvlcvvxx6j86pviDo8aqX7kgs6JJamaZDvK/doYKT7usHr0aQBNSPPcdHf6L/nay7Z+5"
            "w2usVmwcCA"
        ),
    ),
    (
        "body",
        request("PUT", f"{V1}/send/1", TRANSACTION),
        (
            "HV6LNroTIEQdt0BdXlE+cZnn+spOAwg8vhgdIN5bcQUo8l59+2T4Q2xn2NsJG271qvBO+RuoP6bo"
            "4nsAFRMyBg"
        ),
    ),
    (
        "empty body",
        request("POST", f"{V1}/get_missing_events/!x:domain", {}),
        (
            "l41kKIHSrKlR4fqq4DgBtDCUJMKLCkLxnb+RNvvAyf+1iukosi4DBfOy5Z5rxr30Ct+dgAj3V6kg"
            "ItMROiFPAg"
        ),
    ),
]


@cases("signed sig", VECTORS)
def test_sign_gives_the_vector(signed: FederationRequest, sig: str) -> None:
    """Signing a request gives the signature of the test vector."""
    (authorization,) = signed.sign([KEY])
    assert str(authorization) == (
        'X-Matrix origin="domain",destination="other.example",'
        f'key="ed25519:1",sig="{sig}"'
    )


@cases("signed sig", VECTORS)
def test_verify_accepts_the_vector(signed: FederationRequest, sig: str) -> None:
    """A test vector's signature, read from a header, verifies."""
    header = f'X-Matrix origin=domain,key=ed25519:1,sig="{sig}"'
    signed.verify([Authorization.parse(header)], KEY_BY_ID)


def test_sign_gives_one_authorization_for_each_key() -> None:
    """A request signed with two keys has two authorizations that both verify."""
    first, second = request().sign([KEY, OTHER_KEY])
    assert [first.key_id, second.key_id] == ["ed25519:1", "ed25519:2"]
    request().verify([first], KEY_BY_ID)
    request().verify([second], OTHER_KEY_BY_ID)


def test_signed_bytes_are_canonical_json() -> None:
    """What is signed is the canonical JSON of the specification's object."""
    assert request(content={"b": 1, "a": "é"}).signed_bytes() == (
        '{"content":{"a":"é","b":1},"destination":"other.example","method":"PUT",'
        '"origin":"domain","uri":"/_matrix/federation/v1/send/1"}'.encode()
    )


@pytest.mark.parametrize(
    "content", [{}, {"b": [1, {}], "a": "é"}, {"edus": [1.5, 1e20]}]
)
def test_signed_bytes_of_a_body_that_is_encoded(content: Json) -> None:
    """A body that was encoded before is signed as what it says."""
    encoded = replace(request(), content=Encoded(encode(content)))
    assert encoded.signed_bytes() == replace(request(), content=content).signed_bytes()


def test_signed_bytes_leave_out_an_absent_body() -> None:
    """A request without a body is signed without the member `content`."""
    assert request("GET").signed_bytes() == (
        b'{"destination":"other.example","method":"GET","origin":"domain",'
        b'"uri":"/_matrix/federation/v1/send/1"}'
    )


TEXT = "one two three"
SIGNED = request(content={"a": TEXT})
(AUTHORIZATION,) = SIGNED.sign([KEY])

CHANGED: list[tuple[str, FederationRequest]] = [
    ("method", replace(SIGNED, method="POST")),
    ("uri", replace(SIGNED, uri=f"{V1}/send/2")),
    ("query", replace(SIGNED, uri=f"{V1}/send/1?")),
    ("origin", replace(SIGNED, origin=DESTINATION)),
    ("destination", replace(SIGNED, destination=ORIGIN)),
    ("body", replace(SIGNED, content={"a": 2})),
    ("empty body", replace(SIGNED, content={})),
    ("no body", replace(SIGNED, content=None)),
]


@cases("changed", CHANGED)
def test_verify_refuses_a_changed_request(changed: FederationRequest) -> None:
    """A signature of another request is refused with 401."""
    with pytest.raises(Unauthorized, match="signature does not verify: ed25519:1 of"):
        changed.verify([AUTHORIZATION], KEY_BY_ID)


def test_verify_refuses_another_key() -> None:
    """A signature by another key than the given one is refused."""
    with pytest.raises(Unauthorized):
        SIGNED.verify([AUTHORIZATION], {AUTHORIZATION.key_id: OTHER_KEY.verify_key})


def test_verify_tells_an_absent_body_from_an_empty_one() -> None:
    """The signature of a request without a body is none of one with `{}`."""
    (authorization,) = request().sign([KEY])
    with pytest.raises(Unauthorized):
        request(content={}).verify([authorization], KEY_BY_ID)


contents = st.none() | st.dictionaries(
    st.text(max_size=5), st.text(max_size=5) | st.integers(-9, 9), max_size=3
)
requests = st.builds(
    request,
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text(st.characters(codec="ascii"), max_size=20),
    contents,
)


@given(signed=requests)
@settings(deadline=None)
def test_what_was_signed_verifies(signed: FederationRequest) -> None:
    """A request verifies by the header that signing it gave."""
    (authorization,) = signed.sign([KEY])
    signed.verify([Authorization.parse(str(authorization))], KEY_BY_ID)


@given(signed=requests, received=requests)
@settings(deadline=None)
def test_what_was_not_signed_never_verifies(
    signed: FederationRequest, received: FederationRequest
) -> None:
    """No request verifies by the signature of a different one."""
    assume(signed != received)
    (authorization,) = signed.sign([KEY])
    with pytest.raises(Unauthorized):
        received.verify([authorization], KEY_BY_ID)


def changed(text: str, index: int, character: str) -> str:
    """`text` with another character somewhere."""
    index %= len(text)
    assume(text[index] != character)
    return text[:index] + character + text[index + 1 :]


characters = st.characters(codec="ascii", exclude_categories=["Cc"])


@given(index=st.integers(0), character=characters)
@settings(deadline=None)
def test_a_changed_byte_of_the_uri_never_verifies(index: int, character: str) -> None:
    """No byte of the request target can be another one."""
    received = replace(SIGNED, uri=changed(SIGNED.uri, index, character))
    with pytest.raises(Unauthorized):
        received.verify([AUTHORIZATION], KEY_BY_ID)


@given(index=st.integers(0), character=characters)
@settings(deadline=None)
def test_a_changed_byte_of_the_body_never_verifies(index: int, character: str) -> None:
    """No byte of the body's text can be another one."""
    received = replace(SIGNED, content={"a": changed(TEXT, index, character)})
    with pytest.raises(Unauthorized):
        received.verify([AUTHORIZATION], KEY_BY_ID)


@given(bit=st.integers(0, 64 * 8 - 1))
@settings(deadline=None)
def test_a_changed_bit_of_the_signature_never_verifies(bit: int) -> None:
    """No bit of a signature can be another one."""
    number = int.from_bytes(AUTHORIZATION.signature, "big") ^ 1 << bit
    forged = Authorization(ORIGIN, DESTINATION, KEY.key_id, number.to_bytes(64, "big"))
    with pytest.raises(Unauthorized):
        SIGNED.verify([forged], KEY_BY_ID)
