"""Key documents of ours that Synapse reads and hands out, and the other way round."""

from typing import Any

import pytest

from tests.inbound.notaries import is_signed_by, signers, without_signatures
from tests.interop.conftest import Pair
from tests.interop.servers import ask


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
