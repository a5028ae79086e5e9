"""What an operator is told about a certificate that was not accepted."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from homeserver.net.tls.advice import advise
from tests.support.certificates import Issued, authority, issue, issue_for

CA = authority("Root")
BETWEEN = issue("Between", None, issuer=CA, is_authority=True)


def der(*issued: Issued) -> list[bytes]:
    """The certificates that a peer sends."""
    return [each.certificate.public_bytes(Encoding.DER) for each in issued]


CHAINS = [
    ("self-signed", der(issue_for("a.test")), "it names 'a.test'", "add it to"),
    ("issued", der(issue_for("a.test", CA), CA), "by 'CN=Root'; add its root", "serve"),
    (
        "incomplete",
        der(issue_for("a.test", BETWEEN)),
        "by 'CN=Between', whose certificate was not sent: unless that is the root",
        "add its root to `ca_file`",
    ),
    ("complete", der(issue_for("a.test", BETWEEN), BETWEEN), "'CN=Between'; add", ""),
    ("nameless", der(issue("x", None)), "it names 'nothing'", "valid until 20"),
]


@pytest.mark.parametrize(("chain", "one", "other"), [each[1:] for each in CHAINS])
def test_advice(chain: list[bytes], one: str, other: str) -> None:
    """The names, the end, the issuer, and what to change."""
    said = advise(chain)
    assert one in said
    assert other in said
    assert said.endswith(", or serve `/_matrix/key/v1`)")


@pytest.mark.parametrize("chain", [[], [b""], [b"\x30\x03"], [*CHAINS[0][1], b"x"]])
def test_no_advice(chain: list[bytes]) -> None:
    """What cannot be read gets none."""
    assert advise(chain) == ""
