"""Random rooms with forks, in which good and bad events are sent.

Each room is made by a seed, and is the same each time. Our own rules decide how it goes
on; what they decided is noted, so that another implementation can be asked the same.
"""

from dataclasses import dataclass
from random import Random

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.authorization import (
    NotAllowed,
    check_state_dependent,
    check_state_independent,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateKey, StateMap, state_of
from homeserver.protocol.rooms.state_resolution import resolve
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from tests.protocol.rooms.random_events import Draft, Drafts
from tests.protocol.rooms.vectors import reference

State = dict[StateKey, Event]

VERSIONS = tuple(ROOM_VERSIONS)

_USERS = [f"@u{n}:{server}.example" for n in range(3) for server in "abc"]


@dataclass
class Merge:
    """A place where branches of different states meet."""

    states: list[StateMap]
    resolved: StateMap


class RandomRoom:
    """A room of a version with so many events, each of them judged."""

    def __init__(
        self, seed: int, version: str, size: int, switches: Switches = SWITCHES
    ) -> None:
        self.random = Random(f"{seed} {version} {size}")
        self.version = ROOM_VERSIONS[version]
        self.events: dict[EventId, Event] = {}
        """In the order of their making."""

        self.rejected: dict[EventId, str] = {}
        """Why."""

        self.before: dict[EventId, StateMap] = {}
        self.after: dict[EventId, StateMap] = {}
        self.merges: list[Merge] = []
        self.graph = AuthGraph(
            self.version, self.events, self.rejected.keys(), switches
        )
        self._heads: list[EventId] = []
        self.users = self.random.sample(_USERS, self.random.randint(3, len(_USERS)))
        self._drafts = Drafts(self.random, self.version, self.users)
        if not self.version.has_hash_room_id:
            host = self.users[0].partition(":")[2]
            self._room_id = f"!room:{host}"
        self._found()
        while len(self.events) < size:
            self._grow()

    def _found(self) -> None:
        creator = self.users[0]
        content: Json = {"room_version": self.version.version}
        if int(self.version.version) < 11:
            content["creator"] = creator
        if self._chance(0.1):
            content["m.federate"] = self._chance(0.3)
        if self.version.version == "12" and self._chance(0.4):
            content["additional_creators"] = self.random.sample(self.users, 2)
        create = self._send(Draft("m.room.create", creator, content, ""), [])
        if self.version.has_hash_room_id:
            self._room_id = create.room_id
        join: Json = {"membership": "join"}
        self._send(Draft("m.room.member", creator, join, creator))
        if self._chance(0.9):
            self._send(self._drafts.power_levels(creator, {}))
        if self._chance(0.9):
            self._send(self._drafts.join_rules(creator, {}))

    def _grow(self) -> None:
        """Send something: mostly what the state allows, so that the room lives on."""
        heads = self._pick_heads()
        state = self._state_before(heads)
        event = self._draw(heads, state)
        for _ in range(self.random.choice([0, 3, 6])):
            if self._is_allowed(event, state):
                break
            event = self._draw(heads, state)
        self._take(event, heads, state)

    def _draw(self, heads: list[EventId], state: StateMap) -> Event:
        draft = self._drafts.draw(state, list(self.events))
        return self._make(draft, heads, state)

    def _is_allowed(self, event: Event, state: StateMap) -> bool:
        try:
            check_state_dependent(event, state, self.graph.switches)
        except NotAllowed:
            return False
        return True

    def _pick_heads(self) -> list[EventId]:
        accepted = [each for each in self.after if each not in self.rejected]
        if self._chance(0.3):  # a fork
            return [self.random.choice(accepted[-8:])]
        most = self.random.choice([1, 1, 2, 2, 3, 5])
        return self.random.sample(self._heads, min(len(self._heads), most))

    def _send(self, draft: Draft, heads: list[EventId] | None = None) -> Event:
        heads = self._heads[:] if heads is None else heads
        state = self._state_before(heads)
        event = self._make(draft, heads, state)
        self._take(event, heads, state)
        return event

    def _take(self, event: Event, heads: list[EventId], state: StateMap) -> None:
        if event.event_id not in self.events:
            self.events[event.event_id] = event
            self._judge(event, heads, state)

    def _judge(self, event: Event, heads: list[EventId], state: StateMap) -> None:
        self.before[event.event_id] = self.after[event.event_id] = state
        self._note_merge(heads, state)
        switches = self.graph.switches
        try:
            check_state_independent(event, self.cited(event), switches)
            check_state_dependent(event, self.graph.auth_state(event), switches)
            check_state_dependent(event, state, switches)
        except NotAllowed as problem:
            self.rejected[event.event_id] = str(problem)
            return
        self.after[event.event_id] = {**state, **state_of([event])}
        self._heads = [each for each in self._heads if each not in heads]
        self._heads.append(event.event_id)

    def _note_merge(self, heads: list[EventId], state: StateMap) -> None:
        if len(heads) > 1:
            states = [self.after[each] for each in heads]
            self.merges.append(Merge(states, state))

    def cited(self, event: Event) -> CitedEvents:
        """What an event cites, as the rules want it."""
        return CitedEvents(
            [self.events[each] for each in event.auth_event_ids],
            self.graph.create_of(event),
            self.rejected,
        )

    def _state_before(self, heads: list[EventId]) -> StateMap:
        return resolve(self.graph, [self.after[each] for each in heads])

    def _make(self, draft: Draft, heads: list[EventId], state: StateMap) -> Event:
        cited = self._auth_events(draft, state)
        prev = [self.events[each] for each in heads]
        depth = 1 + max((each.depth for each in prev), default=0)
        pdu: Json = {
            "type": draft.type,
            "sender": draft.sender,
            "content": draft.content,
            "origin_server_ts": self.random.choice([1, 1000, 1000 + len(self.events)]),
            "depth": depth + self.random.choice([0, 0, 0, 1, 7]),
            "prev_events": [reference(each) for each in prev],
            "auth_events": [reference(each) for each in cited],
            **draft.more,
        }
        if draft.state_key is not None:
            pdu["state_key"] = draft.state_key
        if heads or not self.version.has_hash_room_id:
            pdu["room_id"] = self._room_id
        if self.version.id_format is IdFormat.SENT:
            number = self.random.randrange(10**9)
            pdu["event_id"] = f"${number}:{draft.sender.partition(':')[2]}"
        hashes = {"sha256": encode_base64(content_hash(pdu))}
        return Event.parse(pdu | {"hashes": hashes, "signatures": {}}, self.version)

    def _auth_events(self, draft: Draft, state: StateMap) -> list[Event]:
        if self._chance(0.08):  # those of another branch
            state = self.random.choice(list(self.after.values()) or [state])
        keys = auth_keys(
            draft.type, draft.sender, draft.state_key, draft.content, self.version
        )
        cited = select_auth_events(keys, state)
        if cited and self._chance(0.04):
            cited.remove(self.random.choice(cited))
        if len(self.events) > 4 and self._chance(0.03):
            # In version 12, no event cites the create event.
            cited.append(self.random.choice(list(self.events.values())[1:]))
        self.random.shuffle(cited)
        return cited

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability


class RoomBegunAgain(RandomRoom):
    """One of version 1 to 11 whose first server sends more create events."""

    def _grow(self) -> None:
        if len(self.events) > 4 and self._chance(0.03):
            content: Json = {
                "room_version": self.version.version,
                "creator": self.random.choice(self.users),
            }
            self._send(Draft("m.room.create", self.users[0], content, ""), [])
        else:
            super()._grow()
