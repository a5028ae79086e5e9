"""Users that a test defines in a lab, as another server of it asks about them."""

from typing import Any
from urllib.parse import quote

from homeserver.testing import Lab


def test_users_of_a_lab() -> None:
    """Defined by one call, and answered by the four routes and the profile."""
    with Lab() as lab:
        ours, other = lab.server(), lab.server()
        user_id = f"@alice:{ours.name}"

        def define(kind: str, content: dict[str, object]) -> Any:
            steps = "v1", "servers", ours.name, kind
            return lab.link.call("POST", *steps, content=content)

        def ask(method: str, path: str, content: object = None) -> Any:
            route, _, query = path.partition("?")
            answer = other.request(
                ours.name,
                f"/_matrix/federation/v1/{route}",
                method=method,
                content=content,
                query=query,
            )
            assert answer.status == 200, answer
            return answer.content

        device = {"device_id": "A", "one_time_keys": 1, "fallback_keys": True}
        made = define(
            "users",
            {
                "user_id": user_id,
                "displayname": "Alice",
                "devices": [device],
                "cross_signing": True,
                "openid_tokens": ["secret"],
            },
        )
        define("media", {"media_id": "cat", "content": "meow"})
        listed = ask("GET", f"user/devices/{quote(user_id)}")
        assert listed["devices"][0]["keys"] == made["devices"][0]["keys"]
        found = ask("POST", "user/keys/query", {"device_keys": {user_id: []}})
        assert found["master_keys"][user_id] == made["master_key"]
        wanted = {"one_time_keys": {user_id: {"A": "signed_curve25519"}}}
        claimed = [
            ask("POST", "user/keys/claim", wanted)["one_time_keys"][user_id]["A"]
            for _ in range(3)
        ]
        assert claimed[0] == made["devices"][0]["one_time_keys"]
        assert claimed[1] == claimed[2] == made["devices"][0]["fallback_keys"]
        info = ask("GET", "openid/userinfo?access_token=secret")
        assert info == {"sub": user_id}
        profile = ask("GET", f"query/profile?user_id={quote(user_id)}")
        assert profile == {"displayname": "Alice"}
        assert "meow" in ask("GET", "media/download/cat")
