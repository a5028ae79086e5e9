"""The forms and the number of the headers that come with a request.

A header is taken in all the forms that servers have given it. Of several headers, one
good signature is enough.
"""

import pytest

from homeserver.protocol.xmatrix_headers import MAX_HEADERS
from tests.support.authenticated_request import (
    PROVEN,
    SIGNATURE,
    authenticate,
    parameters,
    sign,
)
from tests.support.signed_requests import signing_key

FORMS: list[tuple[str, str]] = [
    ("as it is built here", parameters()),
    ("upper case", parameters().replace("X-Matrix", "X-MATRIX")),
    ("blanks at commas", parameters().replace(",", " ,\t")),
    ("several blanks", parameters().replace("X-Matrix ", "X-Matrix   ")),
    ("an unknown parameter", parameters(x="y\xe9")),
    ("an unquoted origin", parameters().replace('"them.example"', "them.example")),
    ("an escape", parameters(origin="them\\.example")),
    ("padded base64", parameters(sig=SIGNATURE + "==")),
]


@pytest.mark.parametrize(
    "header", [row[1] for row in FORMS], ids=[row[0] for row in FORMS]
)
def test_forms_of_a_header(header: str) -> None:
    """A header is taken in all the forms that servers have given it."""
    assert authenticate([header]) == PROVEN


@pytest.mark.parametrize("other", ["X-Matrix origin=", parameters(key="rsa:1")])
def test_one_header_that_can_be_read_is_enough(other: str) -> None:
    """A header by an algorithm that is not known here takes none of another's worth."""
    assert authenticate([other, sign()]) == PROVEN


UNKNOWN_KEY = parameters(key="ed25519:new")

SEVERAL: list[tuple[str, list[str]]] = [
    ("an unknown key first", [UNKNOWN_KEY, sign()]),
    ("an unknown key last", [sign(), UNKNOWN_KEY]),
    ("a bad signature first", [sign(key=signing_key("t_1", b"8")), sign()]),
    ("twice the same", [sign(), sign()]),
    ("as many as may be", [UNKNOWN_KEY] * (MAX_HEADERS - 1) + [sign()]),
    ("one of them without a destination", [parameters(destination=None), sign()]),
]


@pytest.mark.parametrize(
    "headers", [row[1] for row in SEVERAL], ids=[row[0] for row in SEVERAL]
)
def test_several_headers(headers: list[str]) -> None:
    """One good signature is enough."""
    assert authenticate(headers) == PROVEN
