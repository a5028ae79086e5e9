"""The rules on a sender: its server, its membership, its power.

Rules: one function for each rule of the text. The rules on memberships and on power
levels use this module.

Specification: Room Versions, "Authorisation rules".
"""

from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import parse_event_domain
from homeserver.protocol.rooms.power_levels import show
from homeserver.protocol.rooms.rules import Allow, Answer, Case, Refuse, Rule, named


def sender_may_federate(case: Case) -> Answer:
    """If `m.federate` is false and the sender is of another server, reject."""
    create = case.create
    if create is None:
        return Refuse("the state has no m.room.create event")
    federates = create.content.get("m.federate", True)
    switch = "" if isinstance(federates, bool) else "only_true_federates"
    if federates is True or (switch and not case.switches.only_true_federates):
        return None
    home = create.sender.server_name
    if case.event.sender.server_name != home:
        return Refuse(
            f"the room is of {home} alone; {named(case.sender)} is not", switch
        )
    if case.switches.federation_binds_targets and _is_foreign_member(case, home.name):
        return Refuse(
            f"the room is of {home} alone; {named(case.target)} is not",
            "federation_binds_targets",
        )
    return None


def _is_foreign_member(case: Case, home: str) -> bool:
    _, _, domain = case.target.partition(":")
    return case.event.type == "m.room.member" and domain != home


def _alias_has_a_state_key(case: Case) -> Answer:
    """If the event has no `state_key`, reject."""
    if case.event.state_key is None:
        return Refuse("an m.room.aliases event has no state key")
    return None


def _alias_is_of_the_server(case: Case) -> Answer:
    """If the sender's domain does not match the state key, reject."""
    name = case.event.sender.server_name.name
    if case.event.state_key != name:
        return Refuse(f"aliases of {quote(case.event.state_key)} are not set by {name}")
    return None


ALIASES: tuple[Rule, ...] = (
    _alias_has_a_state_key,
    _alias_is_of_the_server,
    Allow("a server sets its own aliases"),
)
"""The rule "If type is `m.room.aliases`" of versions 1 to 5."""


def sender_is_in_the_room(case: Case) -> Answer:
    """If the sender's membership is not `join`, reject."""
    membership = case.membership(case.sender)
    if membership != "join":
        return Refuse(
            f"the sender {named(case.sender)} is not in the room: its membership is "
            f"{quote(membership)[1:-1]}"
        )
    return None


def lacks_power(case: Case, action: str, user_id: str) -> Refuse | None:
    """Refuse if a user has less power than an action takes."""
    power, needed = case.levels.of(user_id), case.levels.to(action)
    if power < needed:
        return Refuse(
            f"the power {show(power)} of {named(user_id)} is less than the {needed} "
            f"that it takes to {action}"
        )
    return None


def may_make_third_party_invite(case: Case) -> Answer:
    """Allow if and only if the sender has the invite level."""
    return lacks_power(case, "invite", case.sender) or Allow(
        f"{named(case.sender)} has the power to invite"
    )


THIRD_PARTY_INVITE: tuple[Rule, ...] = (may_make_third_party_invite,)
"""The rule "If type is `m.room.third_party_invite`"."""


def has_required_level(case: Case) -> Answer:
    """If the type's required level is greater than the sender's power, reject."""
    is_state = case.event.state_key is not None
    power = case.levels.of(case.sender)
    needed = case.levels.required(case.event.type, is_state=is_state)
    if power < needed:
        kind = quote(case.event.type)[1:-1]
        return Refuse(
            f"the sender's power {show(power)} is less than the {needed} that {kind} "
            "needs"
        )
    return None


def state_key_is_its_own(case: Case) -> Answer:
    """If the state key starts with `@` and is not the sender, reject."""
    key = case.event.state_key
    if key is not None and key.startswith("@") and key != case.sender:
        return Refuse(f"the state key is another user than {named(case.sender)}")
    return None


def may_redact_by_level(case: Case) -> Answer:
    """With the redact level, allow."""
    if lacks_power(case, "redact", case.sender) is None:
        return Allow(f"{named(case.sender)} has the power to redact")
    return None


def redacts_its_own(case: Case) -> Answer:
    """If both event IDs are of one domain, allow."""
    redacts = case.event.redacts
    try:
        of = parse_event_domain(redacts) if isinstance(redacts, str) else None
    except InvalidParam:
        of = None
    if of == parse_event_domain(case.event.event_id):
        return Allow("both event IDs are of one server")
    return None


def cannot_redact(case: Case) -> Answer:
    """Otherwise, reject."""
    return lacks_power(case, "redact", case.sender)


REDACTION: tuple[Rule, ...] = (may_redact_by_level, redacts_its_own, cannot_redact)
"""The rule "If type is `m.room.redaction`" of versions 1 and 2."""
