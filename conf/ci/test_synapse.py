"""Tests of Synapse beside a lab, by the pytest plugin `matrix-lab`."""

from homeserver.testing import Server

SYNAPSE = "synapse.test"


def test_it_serves_its_key(matrix_server: Server) -> None:
    """Its key document names it, and its certificate is for that name."""
    answer = matrix_server.request(SYNAPSE, "/_matrix/key/v2/server")
    assert answer.content["server_name"] == SYNAPSE
    assert answer.verified_by == "certificate"


def test_it_finds_our_server(matrix_server: Server) -> None:
    """It asks the lab's name server, and fetches the key of who signed."""
    content = {
        "origin": matrix_server.name,
        "origin_server_ts": 1,
        "pdus": [],
        "edus": [],
    }
    path = "/_matrix/federation/v1/send/1"
    answer = matrix_server.request(SYNAPSE, path, method="PUT", content=content)
    assert (answer.status, answer.content) == (200, {"pdus": {}})
    matrix_server.expect(direction="in", path="/_matrix/key/v2/server")


def test_it_finds_a_signature_fault(matrix_server: Server) -> None:
    """A signature over another method than that of the request is refused."""
    path = "/_matrix/federation/v1/query/profile?user_id=@a:synapse.test"
    answer = matrix_server.request(SYNAPSE, path, sign={"method": "PUT"})
    assert answer.status == 401
