"""What a client pays for bodies that prove nothing.

Each costs tokens, which come back with time; without one the client is refused by its
head. A body that proves something, or is not read, costs nothing.
"""

from homeserver.protocol.canonical_json import Json, encode
from tests.support.federation_side import SEND, Endpoint, ask_signed
from tests.support.http_connection import Connection, ask, request
from tests.support.signed_requests import OTHERS, THEM, KnownKeys


def test_bodies_that_prove_nothing() -> None:
    """A client that sends too many is refused by its head for a while; others not."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 500 - 100)})
    answers = []
    for _ in range(3):
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        answers += connection.answers()
        connection.lose()
    assert [answer.status for answer in answers] == [401, 401, 429]
    assert answers[-1].error == (429, "M_LIMIT_EXCEEDED")
    assert answers[-1].headers["retry-after"] == "1"
    connection = Connection(endpoint.site)
    connection.send(request("PUT", SEND, [header, "Content-Length: 99999"]))
    assert [answer.status for answer in connection.answers()] == [429]
    connection.lose()
    other = Connection(endpoint.site, "192.0.2.2")
    good = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    other.send(request("PUT", SEND, [good], encode({"pdus": []})))
    assert [answer.status for answer in other.answers()] == [200]
    assert endpoint.unproven.bound.refusals == 2


def test_a_body_may_cost_more_than_is_left() -> None:
    """What a body costs beyond the tokens that are there has to be waited for."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 600 - 100)})
    statuses = []
    for seconds in (0, 0, 3, 0.98, 0.05):  # 1000, 400, -50, -1, 1 tokens
        endpoint.clock.advance(seconds)
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        statuses += [answer.status for answer in connection.answers()]
        connection.lose()
    assert statuses == [401, 401, 429, 429, 401]


def test_tokens_come_back() -> None:
    """A client that was refused is heard again when it has a token."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 500 - 100)})
    for _ in range(2):
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        connection.lose()
    endpoint.clock.advance(1)
    assert ask_signed(endpoint, "PUT", SEND, {"pdus": []}).status == 200


def test_bodies_that_prove_something_cost_nothing() -> None:
    """Whoever is proven may send without end."""
    endpoint = Endpoint(max_body_bytes=10**7)
    content: Json = {"pdus": [], "x": "y" * 16384 * 400}
    for _ in range(4):
        assert ask_signed(endpoint, "PUT", SEND, content).status == 200
    assert endpoint.unproven.bound.use() == 0
    assert endpoint.unproven.bound.refusals == 0


def test_a_body_that_is_not_read_costs_nothing() -> None:
    """A wrong signature of a body is charged, not one by an unknown key, or of none."""
    endpoint = Endpoint(keyring=KnownKeys(THEM))
    uri = "/_matrix/federation/v1/query/profile?user_id=@a:us.example"
    header = "Authorization: " + THEM.authorize("GET", "/other")
    assert ask(endpoint.site, "GET", uri, [header]).status == 401
    header = "Authorization: " + OTHERS.authorize("PUT", SEND, {})
    assert ask(endpoint.site, "PUT", SEND, [header], b"{}").status == 401
    assert endpoint.unproven.bound.use() == 0
    header = "Authorization: " + THEM.authorize("PUT", "/other", {})
    assert ask(endpoint.site, "PUT", SEND, [header], b"{}").status == 401
    assert endpoint.unproven.bound.use() == 1
