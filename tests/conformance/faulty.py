"""A faulty target: the endpoint with one fault at a time, made by wrapping it.

Rules: a fault is about one thing. A row names the checks that it turns red: those that
fail or warn, and with `--whole` no others of the areas that it is run with.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from homeserver.http.reply import Reply, refusal
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from homeserver.rooms.routes import _ROUTES
from tests.support.conformance_stage import Fault, Stage

RoomAnswer = Callable[[Resident, Question], Awaitable[Json | bytes]]
"""The answer of a route about rooms."""

Row = tuple[str, Fault, set[str]]
"""The name of a fault, the fault, and the IDs of the checks that it turns red."""


def red(
    stage: Stage, fault: Fault, only: Sequence[str], skip: Sequence[str] = ()
) -> set[str]:
    """The IDs of the checks that a fault turns red, among some areas."""
    results = stage.run(only, fault, skip)
    errors = {e.id: e.observed for e in results.values() if e.result == "error"}
    assert errors == {}
    return {e.id for e in results.values() if e.result in {"fail", "warn"}}


def check_row(
    stage: Stage,
    fault: Fault,
    expected: set[str],
    only: Sequence[str],
    skip: Sequence[str] = (),
) -> None:
    """A fault turns the checks of its row red, and no others.

    The others are those of `only` without those of `skip`; they are run where the stage
    is for the whole. Where our ports are not to be had, the checks that need them are
    not testable.
    """
    found = red(stage, fault, stage.met_by_fault(expected, only), skip)
    assert found == stage.testable(expected), sorted(found)


def fault_test(
    rows: Sequence[Row], areas: Sequence[str], slow: Sequence[str] = ()
) -> Callable[[Stage, str, Fault, set[str]], None]:
    """The test of a module's rows, among some areas.

    `slow` are checks that are left out where a fault does not turn them red.
    """

    @pytest.mark.parametrize(("name", "fault", "expected"), rows)
    def test(on_stage: Stage, name: str, fault: Fault, expected: set[str]) -> None:
        """It turns its checks red, and no others of these areas."""
        check_row(on_stage, fault, expected, areas, sorted(set(slow) - expected))

    return test


def changed_reply(
    template: str,
    change: Callable[[Reply, Request], Reply],
    when: Callable[[Request], bool] = lambda _: True,
) -> Fault:
    """The answers of the routes whose template begins so, changed.

    A refusal is changed as any other answer.
    """

    def wrap(route: Route) -> Answer:
        if not route.template.startswith(template):
            return route.answer

        async def answer(request: Request) -> Reply:
            reply = await answered(route, request)
            return change(reply, request) if when(request) else reply

        return answer

    return Fault(wrap)


def changed_json(
    template: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Fault:
    """The JSON objects of some routes, changed."""

    def changed(reply: Reply, _: Request) -> Reply:
        content = change(msgspec.json.decode(reply.body))
        return Reply(msgspec.json.encode(content), reply.status, reply.headers)

    return changed_reply(template, changed)


def answers_with(template: str, status: int, body: bytes = b"{}") -> Fault:
    """One answer to all requests of some routes."""
    return changed_reply(template, lambda _, __: Reply(body, status))


def answers_where(template: str, text: bytes, other: Reply) -> Fault:
    """Another answer of some routes in place of each that has a text in it."""
    return changed_reply(
        template, lambda reply, _: other if text in reply.body else reply
    )


def takes(template: str, text: bytes) -> Fault:
    """Routes that take what they should refuse, with a text in the reason."""
    return answers_where(template, text, Reply(b"{}"))


def in_rooms(
    route: str,
    change: Callable[[RoomAnswer, Resident, Question], Awaitable[Json | bytes]],
) -> Fault:
    """The answers of one route about rooms, made in another way from those there are.

    `route` is its name in the path, such as `make_leave`.
    """
    routes = [
        (
            method,
            template,
            partial(change, answer) if f"/{route}/" in template else answer,
        )
        for method, template, answer in _ROUTES
    ]
    return patched({"homeserver.rooms.routes._ROUTES": routes})


def error(status: int, errcode: str) -> Reply:
    """A refusal."""
    return Reply(msgspec.json.encode({"errcode": errcode, "error": ""}), status)


async def answered(route: Route, request: Request) -> Reply:
    """The answer of the endpoint, also where it is a refusal."""
    try:
        reply = route.answer(request)
        return reply if isinstance(reply, Reply) else await reply
    except ProtocolError as problem:
        return refusal(request.exchange, problem)


def patched(replacements: Mapping[str, object]) -> Fault:
    """Parts of the package replaced, by their dotted names."""

    @contextmanager
    def replaced() -> Any:
        with ExitStack() as stack:
            for name, replacement in replacements.items():
                stack.enter_context(patch(name, replacement))
            yield

    return Fault(patched=replaced)
