"""Routes of rules: faults put in force, listed and ended.

Rules: as those of `control.routes`. The rules of all servers are at `/v1/rules`.
"""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.record.match import Match
from homeserver.lab.rules.rule import Rule, RuleBody
from homeserver.lab.rules.rules import ALL, Rules
from homeserver.protocol.errors import NotFound, TooLarge
from homeserver.protocol.identifiers import ServerName


class RuleView(Struct, frozen=True):
    """A rule that is in force; the last members are left out where they do nothing."""

    id: int
    matched: Annotated[int, Meta(description="How often a request matched it.")]
    acted: Annotated[int, Meta(description="How often it acted.")]
    match: Match
    do: dict[str, object]
    times: Annotated[
        int | None, Meta(description="How often it acts; null: without an end.")
    ]
    skip: Annotated[
        int | UnsetType, Meta(description="Matches that it leaves alone.")
    ] = UNSET
    every: Annotated[
        int | UnsetType, Meta(description="It acts on one match of this number.")
    ] = UNSET
    chance: Annotated[
        float | UnsetType, Meta(description="The probability that it acts.")
    ] = UNSET
    also: Annotated[
        bool | UnsetType, Meta(description="Whether later rules act as well.")
    ] = UNSET


class RulesView(Struct, frozen=True):
    """Rules in their order."""

    rules: list[RuleView]


class RulesBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules in their order."""

    rules: list[RuleBody]


class Ended(Struct, frozen=True):
    """How many rules have ended."""

    ended: int


def rule_routes(
    rules: Rules, check: Callable[[ServerName], object]
) -> list[ControlRoute]:
    """The rules of each server, and those of all.

    `check` raises `NotFound` for a name that is none of ours.
    """

    def of_one(call: Call[Any, Any]) -> str:
        name = call.server("server")
        check(name)
        return name.name

    return [
        *_routes("/v1/servers/{server}/rules", rules, of_one),
        *_routes("/v1/rules", rules, lambda _: ALL),
    ]


def _routes(
    template: str, rules: Rules, server_of: Callable[[Call[Any, Any]], str]
) -> list[ControlRoute]:
    def listed(call: Call[Nothing, Nothing]) -> RulesView:
        """The rules in force, each with how often it has matched."""
        return RulesView([_view(rule) for rule in rules.of(server_of(call))])

    def add(call: Call[Nothing, RuleBody]) -> RuleView:
        """Put a rule in force after the others."""
        return _view(rules.add(server_of(call), call.body))

    def replace(call: Call[Nothing, RulesBody]) -> RulesView:
        """Put rules in force in place of the others."""
        put = rules.replace(server_of(call), call.body.rules)
        return RulesView([_view(rule) for rule in put])

    def clear(call: Call[Nothing, Nothing]) -> Ended:
        """End all of these rules."""
        return Ended(rules.clear(server_of(call)))

    def end(call: Call[Nothing, Nothing]) -> Ended:
        """End one rule."""
        rules.remove(server_of(call), call.entry_id())
        return Ended(1)

    errors = (NotFound, TooLarge)
    one = f"{template}/{{id}}"
    return [
        route("GET", template, listed, errors=errors),
        route("POST", template, add, status=201, errors=errors),
        route("PUT", template, replace, errors=errors),
        route("DELETE", template, clear, errors=errors),
        route("DELETE", one, end, errors=errors),
    ]


def _view(rule: Rule) -> RuleView:
    body = rule.body
    plain = RuleBody(body.do, body.match, body.times)
    how = {name: getattr(body, name) for name in ("skip", "every", "chance", "also")}
    changed = {name: how[name] for name in how if how[name] != getattr(plain, name)}
    return RuleView(
        rule.id, rule.matched, rule.acted, body.match, body.do, body.times, **changed
    )
