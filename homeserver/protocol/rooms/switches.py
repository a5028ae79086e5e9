"""Switches: one for each point on which the specification is silent or is not followed.

Rules: a verdict that rests on a switch names it. The defaults are Synapse's behaviour,
on which most rooms run, unless the text says otherwise.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Switches:
    """The readings of the specification on which servers differ."""

    absent_join_rule_is_invite: bool = True
    """Without an `m.room.join_rules` event, or a `join_rule` in it, invited users may
    join; otherwise nothing lets them in."""

    absent_levels_have_defaults: bool = False
    """Adding `ban` to the power levels changes it from its default of 50; otherwise
    there is no old value that the sender's power has to reach."""

    federation_binds_targets: bool = False
    """A room with `m.federate` false refuses memberships of foreign users; otherwise
    it refuses events of foreign senders alone, as the text says."""

    only_true_federates: bool = True
    """A value of `m.federate` that is not a boolean counts as false; otherwise as
    true."""

    member_keys_are_user_ids: bool = True
    """A member event whose state key is not a user ID is refused."""

    create_has_any_state_key: bool = True
    """A create event of room versions 1 to 11 may have another state key than the
    empty one, with which it begins no room."""

    only_joins_are_authorised: bool = True
    """`join_authorised_via_users_server` says something in joins only; otherwise in
    each member event that has it, as the text says."""

    other_power_levels_are_free: bool = True
    """Power levels with another state key than the empty one are allowed like the first
    ones of a room; otherwise they are compared with the power levels of the room."""

    states_are_in_their_chains: bool = True
    """A state's own events count as part of its full auth chain; otherwise only those
    that another event of the state cites, as the text says. It matters from
    version 2 on."""

    creates_are_power_events: bool = True
    """State resolution v2 orders create events among the power events, so that of two
    in conflict the later one holds; otherwise, as the text says, among the others."""

    rejected_are_candidates: bool = False
    """State resolution may admit an event that was rejected on receipt, as the text
    says; otherwise it never does."""


SWITCHES = Switches()
"""The readings that this server goes by."""
