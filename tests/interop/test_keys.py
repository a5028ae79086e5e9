"""Key documents of ours that Synapse reads and hands out, and the other way round."""

from collections.abc import Sequence
from functools import partial
from signal import SIGHUP
from typing import Any

import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from scripts.processes import Endpoint, first_line
from tests.interop.conftest import Pair
from tests.support.eventually import eventually
from tests.support.key_documents import signing_key
from tests.support.notaries import is_signed_by, signers, without_signatures
from tests.support.synapse_servers import EDU, ask


def document(answer: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """The one document of a notary's answer."""
    status, content = answer
    assert status == 200, content
    [found] = content["server_keys"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "Synapse"])
def test_each_is_a_notary_of_the_other(pair: Pair, *, is_ours: bool) -> None:
    """A notary's answer, to either question, is what the origin signed and published.

    The reference implementation finds both signatures good.
    """
    notary, origin = pair.as_synapse, pair.as_ours
    if is_ours:
        notary, origin = origin, notary
    status, published = ask(origin.name, "GET", "/_matrix/key/v2/server")
    assert status == 200
    query = "/_matrix/key/v2/query"
    # Synapse asks the origin for keys that are named; else it tells what it knows.
    key_id = origin.key.key_id
    criteria = {key_id: {"minimum_valid_until_ts": 0}}
    wanted = {"server_keys": {origin.name.name: criteria}}
    for found in (
        document(ask(notary.name, "GET", f"{query}/{origin.name}/{key_id}")),
        document(ask(notary.name, "POST", query, wanted)),
    ):
        assert signers(found).keys() == {origin.name.name, notary.name.name}
        assert is_signed_by(found, origin.name, origin.key)
        assert is_signed_by(found, notary.name, notary.key)
        assert found["verify_keys"] == published["verify_keys"]
        # How long it is valid is counted anew by who publishes it.
        assert without_signatures(found).keys() == without_signatures(published).keys()


def test_keys_command_checks_its_document(pair: Pair) -> None:
    """`homeserver keys` finds nothing wrong with Synapse, which has no version 1."""
    [found] = pair.ours.ask("keys", pair.synapse.name)
    assert found["verified_by"] == "certificate"
    assert found["v1"] is None
    assert found["v2"]["problems"] == []
    assert found["v2"]["document"]["verify_keys"].keys() == {pair.as_synapse.key.key_id}


A, B, C = (signing_key(KeyId(f"ed25519:{version}")) for version in "abc")


def test_keys_are_replaced_without_a_refusal(pair: Pair, stranger: Endpoint) -> None:
    """Synapse accepts what we sign before, while and after a key is replaced.

    It meets requests with two signatures, and documents with keys of before.
    """
    configuration = stranger.configuration.read_text()
    with stranger.running() as process:
        first_line(process)
        for current, old in [([A], []), ([A, B], []), ([B], [A]), ([C], [A, B])]:
            lines = "".join(_line(key) for key in current)
            (stranger.folder / "signing.key").write_text(lines)
            old_keys = ", ".join(_old_key(key) for key in old)
            stranger.configuration.write_text(
                f"{configuration}\n[signing]\nold_keys = [{old_keys}]\n"
            )
            process.send_signal(SIGHUP)
            eventually(partial(_publishes, stranger, current, old))
            [state] = stranger.ask("send", pair.synapse.name, "--edu", EDU)
            assert (state["state"], state["attempts"]) == ("delivered", 1)


def _line(key: SigningKey) -> str:
    """A key as it stands in a file of signing keys."""
    algorithm, _, version = key.key_id.partition(":")
    return f"{algorithm} {version} {encode_base64(bytes(key.key))}\n"


def _old_key(key: SigningKey) -> str:
    """A key as it stands among those of before."""
    public = encode_base64(key.verify_key.key)
    return f'{{ id = "{key.key_id}", key = "{public}", expired_ts = 1 }}'


def _publishes(
    server: Endpoint, current: Sequence[SigningKey], old: Sequence[SigningKey]
) -> bool:
    """Whether a server's document has these keys and no others."""
    name = ServerName.parse(server.name)
    _, document = ask(name, "GET", "/_matrix/key/v2/server")
    return [set(document["verify_keys"]), set(document["old_verify_keys"])] == [
        {key.key_id for key in keys} for keys in (current, old)
    ]
