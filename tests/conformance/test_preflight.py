"""Pre-flight: what is not to be had is a need that is not met, with its reason."""

from typing import Any, NoReturn
from unittest.mock import patch

from homeserver.conformance import preflight
from homeserver.conformance.advice import NOT_VERIFIED
from homeserver.conformance.facts import Facts
from homeserver.conformance.outcome import NotTestable
from homeserver.http.reply import Reply
from homeserver.http.router import Answer, Route
from homeserver.net.addresses import RefusedAddress
from homeserver.net.cause import Cause
from homeserver.outbound.transport.dialer import Dialer
from tests.conformance.faulty import changed_json, patched
from tests.support.conformance_stage import SOUND, Fault, Stage

_addresses = Dialer.addresses


def test_checks_of_other_addresses_need_them(on_stage: Stage) -> None:
    """Without one, they say why."""

    def none(_: object) -> NoReturn:
        raise NotTestable("this machine has none")

    fault = patched({"homeserver.conformance.addresses.Addresses.fresh": none})
    results = on_stage.run(["D03", "D10", "D35", "D43"], fault)
    assert {"D03", "D35"} <= results.keys()
    for each in on_stage.testable({"D03", "D10", "D35", "D43"}):
        assert results[each].result == "not-testable"
        assert "this machine has none" in results[each].observed


def test_a_target_may_refuse_other_addresses(on_stage: Stage) -> None:
    """Then the checks that need them tell no failure."""
    ours = {"127.0.0.1", "::1", on_stage.lab.servers.shared.address}

    async def refuse(dialer: Dialer, host: str, cause: Cause) -> list[str]:
        found = await _addresses(dialer, host, cause)
        if ours.isdisjoint(found):
            raise RefusedAddress("only some addresses are connected to")
        return found

    fault = patched({"homeserver.outbound.transport.dialer.Dialer.addresses": refuse})
    results = on_stage.run(["D02", "D03", "D35"], fault)
    assert {key: each.result for key, each in results.items()} == {
        "M01": "pass",
        "D02": "pass",
        "D03": "not-testable",
        "D35": "not-testable",
    }


def test_checks_of_ipv6_need_a_target_that_has_it(on_stage: Stage) -> None:
    """Without it, they say how far the target came."""

    async def refuse(dialer: Dialer, host: str, cause: Cause) -> list[str]:
        if host == "::1":
            raise RefusedAddress("no IPv6")
        return await _addresses(dialer, host, cause)

    fault = patched({"homeserver.outbound.transport.dialer.Dialer.addresses": refuse})
    results = on_stage.run(["D04", "D33", "D34"], fault)
    for each in ("D04", "D33", "D34"):
        assert results[each].result == "not-testable"
        assert "the target did not come to us" in results[each].observed


def test_a_target_that_verifies_nothing_is_told_so_first(on_stage: Stage) -> None:
    """It answers without a key of ours; the advice names that one cause."""

    def believes(route: Route) -> Answer:
        is_asked = route.template.startswith("/_matrix/federation/v1/send/")
        return (lambda _: Reply(b'{"pdus":{}}')) if is_asked else route.answer

    assert NOT_VERIFIED in _advice(on_stage, Fault(believes))
    assert NOT_VERIFIED not in _advice(on_stage, SOUND)


def test_a_target_that_was_named_otherwise(on_stage: Stage) -> None:
    """It is told how it calls itself: what is signed for another name is refused."""

    def shouted(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "server_name": "LOCALHOST"}

    [said] = _advice(on_stage, changed_json("/_matrix/key/v2/server", shouted))
    assert said.startswith("The target calls itself 'LOCALHOST' in its key document")
    assert "localhost:" in said

    def endless(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "server_name": "\x1b" + "a" * 100_000}

    [said] = _advice(on_stage, changed_json("/_matrix/key/v2/server", endless))
    assert said.startswith("The target calls itself '\\x1baaa")
    assert len(said) < 1000


def _advice(on_stage: Stage, fault: Fault) -> list[str]:
    """What a run with a fault says first."""
    look, found = preflight.look, list[Facts]()

    async def noted(*arguments: Any) -> Facts:
        found.append(await look(*arguments))
        return found[-1]

    with patch.object(preflight, "look", noted):
        on_stage.run(["K01"], fault)
    return found[0].advice
