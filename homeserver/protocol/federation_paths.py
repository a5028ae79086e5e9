"""The paths of the server-server API, as templates.

Rules: these name the route of a request to another server; which of them we serve is
the table of our own routes.

Specification: Server-server API, all sections.
"""

V1 = "/_matrix/federation/v1"
"""The base of nearly all routes."""

V2 = "/_matrix/federation/v2"
"""The base of those whose replies have changed: joins, leaves, invites."""

TEMPLATES = (
    "/.well-known/matrix/server",
    "/_matrix/key/v1",
    "/_matrix/key/v2/server",
    "/_matrix/key/v2/server/{keyId}",
    "/_matrix/key/v2/query",
    "/_matrix/key/v2/query/{serverName}",
    "/_matrix/key/v2/query/{serverName}/{keyId}",
    f"{V1}/version",
    f"{V1}/send/{{txnId}}",
    f"{V1}/event_auth/{{roomId}}/{{eventId}}",
    f"{V1}/backfill/{{roomId}}",
    f"{V1}/get_missing_events/{{roomId}}",
    f"{V1}/event/{{eventId}}",
    f"{V1}/state/{{roomId}}",
    f"{V1}/state_ids/{{roomId}}",
    f"{V1}/timestamp_to_event/{{roomId}}",
    f"{V1}/make_join/{{roomId}}/{{userId}}",
    f"{V1}/send_join/{{roomId}}/{{eventId}}",
    f"{V2}/send_join/{{roomId}}/{{eventId}}",
    f"{V1}/make_knock/{{roomId}}/{{userId}}",
    f"{V1}/send_knock/{{roomId}}/{{eventId}}",
    f"{V1}/invite/{{roomId}}/{{eventId}}",
    f"{V2}/invite/{{roomId}}/{{eventId}}",
    f"{V1}/make_leave/{{roomId}}/{{userId}}",
    f"{V1}/send_leave/{{roomId}}/{{eventId}}",
    f"{V2}/send_leave/{{roomId}}/{{eventId}}",
    f"{V1}/exchange_third_party_invite/{{roomId}}",
    f"{V1}/3pid/onbind",
    f"{V1}/publicRooms",
    f"{V1}/hierarchy/{{roomId}}",
    f"{V1}/query/{{queryType}}",
    f"{V1}/openid/userinfo",
    f"{V1}/user/devices/{{userId}}",
    f"{V1}/user/keys/claim",
    f"{V1}/user/keys/query",
    f"{V1}/media/download/{{mediaId}}",
    f"{V1}/media/thumbnail/{{mediaId}}",
)
