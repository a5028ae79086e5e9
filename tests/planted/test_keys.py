"""`homeserver keys` says what to change in a key document."""

import pytest

from scripts.processes import Endpoint
from tests.planted.conftest import OURS, Planting

DOCUMENTS = [
    ("key-is-seed", "is the private seed of the signing key"),
    ("key-hexadecimal", "is hexadecimal; send unpadded base64"),
    ("document-unsigned", "the document has no signature of 127.0.0.1:"),
    ("document-spaces", "the signed JSON has a space after each colon or comma"),
    ("document-expired", "the document expired 1.0 h ago"),
    ("document-seconds", "`valid_until_ts` seems to be in seconds"),
    ("name-of-document", "`server_name` is a URL; it is a server name"),
]


@pytest.mark.parametrize(("fault", "sentence"), DOCUMENTS)
def test_documents(
    ours: Endpoint, planted: Planting, fault: str, sentence: str
) -> None:
    """What is wrong is told in one sentence, and the command ends with 1."""
    with planted(fault) as them:
        done = ours.call("keys", them.name)
        assert done.returncode == 1
        assert sentence in done.stdout + done.stderr


def test_right(ours: Endpoint, planted: Planting) -> None:
    """A right document has no hints, also after a wrong one."""
    with planted() as them:
        [right] = ours.ask("keys", them.name)
        assert [right[each]["hints"] for each in ("v1", "v2")] == [[], []]


def test_self_signed(ours: Endpoint, planted: Planting) -> None:
    """A self-signed certificate needs a version 1 document, or an authority."""
    with planted("no-v1") as them:
        done = ours.call("keys", them.name)
        assert done.returncode == 1
        assert "self-signed" in done.stderr
        assert "/_matrix/key/v1" in done.stderr
        answer = them.send(OURS, them.transaction())
        assert answer.status == 401
