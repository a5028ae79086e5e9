"""The paths of the server-server API, as templates.

Rules: these name the route of a request to another server; which of them we serve is
the table of our own routes.

Specification: Server-server API, all sections.
"""

_FIRST = "/_matrix/federation/v1"
_SECOND = "/_matrix/federation/v2"

TEMPLATES = (
    "/.well-known/matrix/server",
    "/_matrix/key/v1",
    "/_matrix/key/v2/server",
    "/_matrix/key/v2/server/{keyId}",
    "/_matrix/key/v2/query",
    "/_matrix/key/v2/query/{serverName}",
    "/_matrix/key/v2/query/{serverName}/{keyId}",
    f"{_FIRST}/version",
    f"{_FIRST}/send/{{txnId}}",
    f"{_FIRST}/event_auth/{{roomId}}/{{eventId}}",
    f"{_FIRST}/backfill/{{roomId}}",
    f"{_FIRST}/get_missing_events/{{roomId}}",
    f"{_FIRST}/event/{{eventId}}",
    f"{_FIRST}/state/{{roomId}}",
    f"{_FIRST}/state_ids/{{roomId}}",
    f"{_FIRST}/timestamp_to_event/{{roomId}}",
    f"{_FIRST}/make_join/{{roomId}}/{{userId}}",
    f"{_FIRST}/send_join/{{roomId}}/{{eventId}}",
    f"{_SECOND}/send_join/{{roomId}}/{{eventId}}",
    f"{_FIRST}/make_knock/{{roomId}}/{{userId}}",
    f"{_FIRST}/send_knock/{{roomId}}/{{eventId}}",
    f"{_FIRST}/invite/{{roomId}}/{{eventId}}",
    f"{_SECOND}/invite/{{roomId}}/{{eventId}}",
    f"{_FIRST}/make_leave/{{roomId}}/{{userId}}",
    f"{_FIRST}/send_leave/{{roomId}}/{{eventId}}",
    f"{_SECOND}/send_leave/{{roomId}}/{{eventId}}",
    f"{_FIRST}/exchange_third_party_invite/{{roomId}}",
    f"{_FIRST}/3pid/onbind",
    f"{_FIRST}/publicRooms",
    f"{_FIRST}/hierarchy/{{roomId}}",
    f"{_FIRST}/query/{{queryType}}",
    f"{_FIRST}/openid/userinfo",
    f"{_FIRST}/user/devices/{{userId}}",
    f"{_FIRST}/user/keys/claim",
    f"{_FIRST}/user/keys/query",
    f"{_FIRST}/media/download/{{mediaId}}",
    f"{_FIRST}/media/thumbnail/{{mediaId}}",
)
