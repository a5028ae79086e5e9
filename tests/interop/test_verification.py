"""Servers that cannot prove who they are: what Synapse and we make of them."""

import json
from pathlib import Path

from scripts.processes import Endpoint, first_line
from tests.interop.conftest import Pair
from tests.support.certificates import authority, issue_for
from tests.support.daemons import send_in_vain
from tests.support.synapse_servers import EDU, Signer
from tests.support.synapse_users import User


def test_it_does_not_believe_a_certificate_of_nobody(
    pair: Pair, alice: User, stranger: Endpoint
) -> None:
    """It takes no keys from a server without a certificate of its authorities.

    What it says then is what `homeserver send` says.
    """
    issue_for("localhost").write(stranger.folder)
    with stranger.running() as process:
        first_line(process)
        said = send_in_vain(stranger, pair.synapse.name, EDU)
        assert "401 M_UNAUTHORIZED: " in said
        assert "Failed to find any key to satisfy" in said
        assert f"['{Signer.of(stranger).key.key_id}']" in said
        status, _ = alice.ask("GET", "profile", f"@bob:{stranger.name}")
        assert status == 502


def test_we_do_not_believe_a_certificate_of_nobody(
    pair: Pair, alice: User, stranger: Endpoint, tmp_path: Path
) -> None:
    """Nothing is sent to a server that neither certificate nor version 1 proves."""
    other = tmp_path / "other.pem"
    other.write_bytes(authority().pem)
    text = stranger.configuration.read_text()
    trusted = str(pair.neighbourhood.ca_file)
    assert trusted in text
    stranger.configuration.write_text(text.replace(trusted, str(other)))
    bob = f"@bob:{stranger.name}"
    edu = json.dumps(alice.message_from(bob))
    with stranger.running() as process:
        first_line(process)
        said = send_in_vain(stranger, pair.synapse.name, edu)
        assert "127.0.0.1 is not verified: by certificate: " in said
        assert "there is no `tls_fingerprints` in it, and no /_matrix/key/v1" in said
    assert bob not in alice.senders()
