"""Users that a test defines, as other servers ask about them."""

from typing import Any

import pytest
from nacl.bindings import crypto_sign_open

from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.errors import Forbidden, InvalidParam, TooLarge
from homeserver.protocol.signing import signed_bytes
from homeserver.users.made_keys import SIGNED_CURVE25519
from homeserver.users.users import MAX_USERS, User
from tests.support.http_connection import ask
from tests.support.our_names import OUR_NAME
from tests.support.user_side import ALICE, CONFIGURED, V1, UserSide

ELSEWHERE = "@bob:elsewhere.example"


@pytest.fixture
def side() -> UserSide:
    """A server without users but the configured one."""
    return UserSide()


def query(side: UserSide, wanted: Json) -> Any:
    """The answer to a question for keys."""
    answer = side.ask("POST", "user/keys/query", content={"device_keys": wanted})
    assert answer.status == 200, answer.json
    return answer.json


def check_signed(value: Any, user_id: str, name: str, public: str) -> None:
    """A key of a user has a signature that verifies."""
    signature = value["signatures"][user_id][f"ed25519:{name}"]
    signed = decode_base64(signature) + signed_bytes(value)
    crypto_sign_open(signed, decode_base64(public))


def test_made_keys_are_signed_as_clients_sign_them(side: UserSide) -> None:
    """By the device, by the master key, and by the self-signing key."""
    side.define(
        devices=[{"device_id": "A", "one_time_keys": 2, "fallback_keys": True}],
        cross_signing=True,
    )
    found = query(side, {ALICE: []})
    device = found["device_keys"][ALICE]["A"]
    own = device["keys"]["ed25519:A"]
    check_signed(device, ALICE, "A", own)
    [master] = found["master_keys"][ALICE]["keys"].values()
    self_signing = found["self_signing_keys"][ALICE]
    check_signed(self_signing, ALICE, master, master)
    [key] = self_signing["keys"].values()
    check_signed(device, ALICE, key, key)
    [claimed] = side.claim(ALICE, "A", SIGNED_CURVE25519)[ALICE]["A"].values()
    check_signed(claimed, ALICE, "A", own)


def test_devices_are_listed_with_the_version(side: UserSide) -> None:
    """`user/devices` has the devices, their names and the cross-signing keys."""
    devices: list[Json] = [
        {"device_id": "A", "display_name": "phone"},
        {"device_id": "B", "keys": None},
    ]
    defined = side.define(devices=devices, cross_signing=True, stream_id=7)
    told = side.ask("GET", "user/devices", ALICE).json
    assert told == {
        "user_id": ALICE,
        "stream_id": 7,
        "devices": [
            {
                "device_id": "A",
                "keys": defined.devices[0].keys,
                "device_display_name": "phone",
            },
            {"device_id": "B"},
        ],
        "master_key": defined.master_key,
        "self_signing_key": defined.self_signing_key,
    }
    again = side.define(devices=[])
    assert again.stream_id == 8
    assert side.ask("GET", "user/devices", ALICE).json["devices"] == []


def test_configured_users_have_no_devices(side: UserSide) -> None:
    """A user of the configuration is one, without devices."""
    told = side.ask("GET", "user/devices", CONFIGURED).json
    assert told == {"user_id": CONFIGURED, "stream_id": 1, "devices": []}


@pytest.mark.parametrize("user_id", [f"@none:{OUR_NAME}", ELSEWHERE])
def test_there_are_no_devices_of_others(side: UserSide, user_id: str) -> None:
    """404 for a user that is not defined, and for one of another server."""
    answer = side.ask("GET", "user/devices", user_id)
    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


def test_only_the_wanted_devices_are_answered(side: UserSide) -> None:
    """The list of a user has device IDs; users of others are left out."""
    keys: Json = {"keys": {"ed25519:B": "x"}}
    side.define(devices=[{"device_id": "A"}, {"device_id": "B", "keys": keys}])
    found = query(side, {ALICE: ["B", "C"], ELSEWHERE: [], CONFIGURED: []})
    assert found["device_keys"] == {ALICE: {"B": keys}}
    assert found["master_keys"] == found["self_signing_keys"] == {}
    side.define(devices=[{"device_id": "B", "keys": keys, "display_name": "tablet"}])
    named = query(side, {ALICE: []})["device_keys"][ALICE]["B"]
    assert named == {**keys, "unsigned": {"device_display_name": "tablet"}}


def test_each_one_time_key_is_handed_out_once(side: UserSide) -> None:
    """In their order; then the fallback key, which stays."""
    one_time: Json = {"a:1": "x", f"{SIGNED_CURVE25519}:1": {}, "a:2": "y"}
    device = {"device_id": "A", "one_time_keys": one_time, "fallback_keys": {"a:f": 1}}
    side.define(devices=[device])
    wanted = [{"a:1": "x"}, {"a:2": "y"}, {"a:f": 1}, {"a:f": 1}]
    assert [side.claim(ALICE, "A", "a") for _ in wanted] == [
        {ALICE: {"A": each}} for each in wanted
    ]
    [left] = side.users.known(ALICE).devices.values()
    assert [*left.one_time_keys] == [f"{SIGNED_CURVE25519}:1"]


@pytest.mark.parametrize(
    ("user_id", "device_id", "algorithm"),
    [(ALICE, "A", "b"), (ALICE, "B", "a"), (ELSEWHERE, "A", "a")],
)
def test_there_is_nothing_to_claim(
    side: UserSide, user_id: str, device_id: str, algorithm: str
) -> None:
    """Another algorithm, device or user has no key, which is no error."""
    side.define(devices=[{"device_id": "A", "one_time_keys": {"a:1": "x"}}])
    assert side.claim(user_id, device_id, algorithm) == {}
    assert side.claim(ALICE, "A", "a") == {ALICE: {"A": {"a:1": "x"}}}


WRONG: list[tuple[str, Json, str]] = [
    ("query", {}, "M_MISSING_PARAM"),
    ("query", {"device_keys": []}, "M_BAD_JSON"),
    ("query", {"device_keys": {ALICE: {}}}, "M_BAD_JSON"),
    ("query", {"device_keys": {ALICE: [1]}}, "M_BAD_JSON"),
    ("claim", {}, "M_MISSING_PARAM"),
    ("claim", {"one_time_keys": {ALICE: []}}, "M_BAD_JSON"),
    ("claim", {"one_time_keys": {ALICE: {"A": "a", "B": 1}}}, "M_BAD_JSON"),
]


@pytest.mark.parametrize(("route", "content", "errcode"), WRONG, ids=repr)
def test_wrong_questions(
    side: UserSide, route: str, content: Json, errcode: str
) -> None:
    """What is malformed is refused, and costs no key."""
    side.define(devices=[{"device_id": "A", "one_time_keys": {"a:1": "x"}}])
    answer = side.ask("POST", f"user/keys/{route}", content=content)
    assert (answer.status, answer.json["errcode"]) == (400, errcode)
    assert side.claim(ALICE, "A", "a")


def test_openid_tokens(side: UserSide) -> None:
    """A token stands for its user, without a signature, until another definition."""
    target = f"{V1}/openid/userinfo?access_token=secret"
    side.define(openid_tokens=["secret"])
    answer = ask(side.site, "GET", target)
    assert (answer.status, answer.json) == (200, {"sub": ALICE})
    side.define(openid_tokens=["other"])
    answer = ask(side.site, "GET", target)
    assert (answer.status, answer.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    answer = ask(side.site, "GET", f"{V1}/openid/userinfo")
    assert (answer.status, answer.json["errcode"]) == (400, "M_MISSING_PARAM")


def test_profiles_follow_the_definition(side: UserSide) -> None:
    """A user has the profile of its last definition."""
    side.define(displayname="A", avatar_url="mxc://us.example/a")
    profile = side.users.profiles[ALICE]
    assert (profile.displayname, profile.avatar_url) == ("A", "mxc://us.example/a")
    side.define()
    assert ALICE not in side.users.profiles


def test_removed_users_are_gone(side: UserSide) -> None:
    """With their devices, tokens and profile."""
    side.define(displayname="A", openid_tokens=["secret"])
    side.users.remove(ALICE)
    assert [*side.users] == []
    assert side.users.of_token("secret") is None
    assert side.users.profiles == {}
    assert side.ask("GET", "user/devices", ALICE).status == 404


def test_definitions_that_cannot_be(side: UserSide) -> None:
    """Users of other servers, a device twice, and too many keys are refused."""
    with pytest.raises(InvalidParam, match="not of a user of"):
        side.define(ELSEWHERE)
    with pytest.raises(InvalidParam, match="one `device_id`"):
        side.define(devices=[{"device_id": "A"}, {"device_id": "A"}])
    keys: Json = {"a:1": "x" * 1_000_001}
    with pytest.raises(TooLarge, match="1000000 bytes"):
        side.define(devices=[{"device_id": "A", "one_time_keys": keys}])
    assert [*side.users] == []


def test_there_is_a_limit_of_users(side: UserSide) -> None:
    """One more is refused; one that is there may be defined again."""
    for number in range(MAX_USERS):
        side.users.put(User(user_id=f"@{number}:{OUR_NAME}", stream_id=1))
    with pytest.raises(TooLarge, match="delete some"):
        side.define()
    side.define(f"@0:{OUR_NAME}")


def test_several_workers_have_no_users(side: UserSide) -> None:
    """What is in the memory of one process, others do not know."""
    side.desk.workers = 2
    with pytest.raises(Forbidden, match="one worker"):
        side.define()
    with pytest.raises(Forbidden, match="one worker"):
        side.define_media("cat")
