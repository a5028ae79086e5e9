"""Q: each check of the users and media of a target has a fault for it."""

import msgspec

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from tests.conformance.faulty import Row, fault_test
from tests.conformance.query_target import (
    CLAIM,
    DEVICES,
    DOWNLOAD,
    KEYS,
    ONE_PART,
    OPENID,
    PARTS,
    THUMBNAIL,
    UNKNOWN,
    always,
    as_json,
    devices,
    error,
    media,
    target,
)

_FOREIGN_KEYS = as_json({"device_keys": {"@user:elsewhere.invalid": {}}})


ROWS: list[Row] = [
    (
        "another code for a token",
        target({OPENID: always(error(401, "M_FORBIDDEN"))}),
        {"Q14"},
    ),
    ("no device_keys", target({KEYS: always(as_json({}))}), {"Q16"}),
    ("keys of others", target({KEYS: always(_FOREIGN_KEYS)}), {"Q17"}),
    ("no one_time_keys", target({CLAIM: always(as_json({}))}), {"Q18"}),
    (
        "devices without a stream",
        target({DEVICES: lambda request: _without_stream(devices(request))}),
        {"Q19"},
    ),
    (
        "devices of others",
        target({DEVICES: lambda request: _for_all(devices(request), request)}),
        {"Q20"},
    ),
    (
        "another code for media",
        target(
            {
                DOWNLOAD: lambda request: (
                    media(PARTS)(request)
                    if request.parameters["mediaId"] == b"known"
                    else UNKNOWN
                )
            }
        ),
        {"Q22"},
    ),
    ("media for strangers", target(unsigned={OPENID, DOWNLOAD}), {"Q23"}),
    ("media in one part", target({DOWNLOAD: media(ONE_PART)}), {"Q29"}),
    (
        "thumbnail in one part",
        target({THUMBNAIL: media(ONE_PART)}),
        {"Q29.thumbnail"},
    ),
]


def _without_stream(reply: Reply) -> Reply:
    found = msgspec.json.decode(reply.body)
    found.pop("stream_id", None)
    return as_json(found, reply.status)


def _for_all(reply: Reply, request: Request) -> Reply:
    if reply.status == 200:
        return reply
    user = request.parameters["userId"].decode()
    return as_json({"user_id": user, "stream_id": 1, "devices": []})


test_a_fault_turns_its_checks_red = fault_test(ROWS, ["Q"])
