"""What a server of ours answers about a gap in a room of the target.

Rules: it has what it was given, and nothing else: no past, and no other event.

Specification: Server-server API, "Backfilling and retrieving missing events" and
"Retrieving events".
"""

from collections.abc import Mapping, Sequence

from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.membership_requests import events_in
from homeserver.conformance.our_servers import not_found
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.federation_paths import V1

MISSING = f"{V1}/get_missing_events/"
"""What the paths begin with of the question that comes first."""

STATE = (f"{V1}/state_ids/", f"{V1}/state/")
"""What the paths begin with of the questions for a state."""


class GapAnswers:
    """The answers about one gap."""

    def __init__(
        self,
        joined: JoinedRoom,
        filling: Sequence[Json] = (),
        known: Sequence[Json] = (),
        *,
        has_state: bool = False,
    ) -> None:
        """`filling` is what comes of `get_missing_events`, and `known` of `event`.

        `has_state` says whether there is the state of the room, as after our join.
        """
        self._joined = joined
        self._filling = filling
        self._known = {joined.id_of(each): each for each in known}
        self._has_state = has_state

    @property
    def answers(self) -> Mapping[str, Answer]:
        """By the templates of routes."""
        return {
            f"{MISSING}{{roomId}}": lambda _: json_reply({"events": self._filling}),
            f"{V1}/event/{{eventId}}": self._event,
            f"{V1}/backfill/{{roomId}}": lambda _: self._transaction([]),
            f"{V1}/state_ids/{{roomId}}": self._state_ids,
            f"{V1}/state/{{roomId}}": self._state,
        }

    def _event(self, request: Request) -> Reply:
        event_id = request.parameters["eventId"].decode("utf-8", "replace")
        found = self._known.get(event_id)  # type: ignore[call-overload]
        return not_found(request) if found is None else self._transaction([found])

    def _state_ids(self, request: Request) -> Reply:
        if not self._has_state:
            return not_found(request)
        id_of = self._joined.id_of
        return json_reply(
            {
                "pdu_ids": [id_of(each) for each in self._events],
                "auth_chain_ids": [id_of(each) for each in self._chain],
            }
        )

    def _state(self, request: Request) -> Reply:
        if not self._has_state:
            return not_found(request)
        return json_reply({"pdus": self._events, "auth_chain": self._chain})

    @property
    def _events(self) -> list[Json]:
        return [each.pdu for each in self._joined.state.values()]

    @property
    def _chain(self) -> list[Json]:
        found = events_in(self._joined.member.reply, "auth_chain")
        return [each for each in found if isinstance(each, dict)]

    def _transaction(self, pdus: Sequence[Json]) -> Reply:
        ours = self._joined.ours
        return json_reply(
            {
                "origin": ours.name.name,
                "origin_server_ts": ours.now_ts,
                "pdus": list(pdus),
            }
        )
