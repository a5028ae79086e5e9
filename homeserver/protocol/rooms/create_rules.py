"""The state-independent rules: create events, and the auth events of all others.

Rules: one function for each rule of the text. The caller knows the auth events, and
which of them were rejected.

Specification: Room Versions, "Authorisation rules", the first two (in version 12 the
first three).
"""

from collections import Counter

from homeserver.protocol.errors import quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.auth_events import auth_keys_of
from homeserver.protocol.rooms.rules import (
    Allow,
    Answer,
    Case,
    Refuse,
    Rule,
    is_user_id,
    named,
)
from homeserver.protocol.rooms.state import key_of
from homeserver.protocol.rooms.versions import VersionRules


def create_rules(rules: VersionRules) -> tuple[Rule, ...]:
    """Rule 1: "If type is `m.room.create`"."""
    if rules.has_privileged_creators:
        of_version: tuple[Rule, ...] = (additional_creators_are_users,)
    else:
        of_version = (creator_is_named,) if rules.has_creator_in_content else ()
    room_id: Rule = (
        has_no_room_id if rules.has_privileged_creators else room_id_is_the_senders
    )
    return (has_no_prev_events, room_id, version_is_known, *of_version, begins_a_room)


def has_no_prev_events(case: Case) -> Answer:
    """If it has any `prev_events`, reject."""
    if case.event.prev_event_ids:
        return Refuse("a create event has no `prev_events`: nothing comes before it")
    return None


def room_id_is_the_senders(case: Case) -> Answer:
    """If the domain of the room ID is not the domain of the sender, reject."""
    _, _, domain = case.event.room_id.partition(":")
    name = case.event.sender.server_name.name
    if domain != name:
        return Refuse(f"a room ID of {quote(domain)} is not one of the sender's {name}")
    return None


def has_no_room_id(case: Case) -> Answer:
    """Version 12: if the event has a `room_id`, reject."""
    if "room_id" in case.event.pdu:
        return Refuse("a create event of version 12 has no `room_id`: its hash is it")
    return None


def version_is_known(case: Case) -> Answer:
    """If `content.room_version` is there and is not known, reject."""
    version = case.content.get("room_version", "1")
    if not isinstance(version, str) or version not in ROOM_VERSIONS:
        return Refuse(f"{quote(version)} is not a known room version")
    return None


def creator_is_named(case: Case) -> Answer:
    """Versions 1 to 10: if `content` has no `creator`, reject."""
    if "creator" not in case.content:
        return Refuse("`content` of the create event has no `creator`")
    return None


def additional_creators_are_users(case: Case) -> Answer:
    """Version 12: `additional_creators`, if there, is a list of user IDs."""
    more = case.content.get("additional_creators", [])
    if not isinstance(more, list):
        return Refuse("`additional_creators` is not a list")
    for each in more:
        if not isinstance(each, str) or not is_user_id(each):
            return Refuse(f"{quote(each)} of `additional_creators` is not a user ID")
    return None


def begins_a_room(case: Case) -> Answer:
    """Otherwise, allow."""
    key = case.event.state_key
    if key is None:
        return Refuse("the create event has no state key")
    if not key:
        return Allow("it begins a room")
    what = f"the state key of a create event is empty, not {quote(key)}"
    if case.rules.has_privileged_creators:
        return Refuse(what)
    switch = "create_has_any_state_key"
    if case.switches.create_has_any_state_key:
        return Allow("a create event with a state key is allowed", switch)
    return Refuse(what, switch)


def room_id_names_create(case: Case) -> Answer:
    """Version 12: the room ID is that of an accepted create event, or reject."""
    create = case.cited.create
    if create is None or create.type != "m.room.create":
        return Refuse("the create event that the room ID names is not known")
    if create.room_id != case.event.room_id:
        return Refuse(
            f"the room ID is not that of the create event {named(create.event_id)}"
        )
    if create.event_id in case.cited.rejected:
        return Refuse(f"the create event {named(create.event_id)} was rejected")
    return None


def auth_event_rules(rules: VersionRules) -> tuple[Rule, ...]:
    """Rule 2, in version 12 rule 3: "Considering the event's `auth_events`"."""
    create: tuple[Rule, ...] = (
        (create_is_cited,) if rules.has_create_in_auth_events else ()
    )
    return (
        none_stands_twice,
        all_are_selected,
        none_was_rejected,
        *create,
        all_are_of_the_room,
    )


def none_stands_twice(case: Case) -> Answer:
    """If there are duplicates of a type and state key, reject."""
    for key, times in Counter(map(key_of, case.cited.events)).items():
        if times > 1 and key is not None:
            return Refuse(f"{_show(*key)} stands {times} times in `auth_events`")
    return None


def all_are_selected(case: Case) -> Answer:
    """If there are entries that the selection does not have, reject."""
    keys = auth_keys_of(case.event)
    for event in case.cited.events:
        if key_of(event) not in keys:
            return Refuse(
                f"{_show(event.type, event.state_key)} does not authorise such an "
                f"event, but stands in its `auth_events`: {named(event.event_id)}"
            )
    return None


def none_was_rejected(case: Case) -> Answer:
    """If there are entries that were rejected themselves, reject."""
    for event in case.cited.events:
        if event.event_id in case.cited.rejected:
            return Refuse(f"the auth event {named(event.event_id)} was rejected")
    return None


def create_is_cited(case: Case) -> Answer:
    """Versions 1 to 11: if there is no create event among the entries, reject."""
    if not any(map(_is_create, case.cited.events)):
        return Refuse("there is no m.room.create event in `auth_events`")
    return None


def all_are_of_the_room(case: Case) -> Answer:
    """If an entry is of another room, reject."""
    for event in case.cited.events:
        if event.room_id != case.event.room_id:
            return Refuse(
                f"the auth event {named(event.event_id)} is of {named(event.room_id)}"
            )
    return None


def _is_create(event: Event) -> bool:
    return event.type == "m.room.create"


def _show(kind: str, state_key: str | None) -> str:
    return quote(kind)[1:-1] + (f" of {quote(state_key)}" if state_key else "")
