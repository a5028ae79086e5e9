"""What a server has to change for its name to be found.

Rules: only what is published is looked at: that a name has no well-known document and
no SRV record is no mistake.

Specification: Server-server API, "Resolving server names"; RFC 2782.
"""

from collections.abc import Iterator, Sequence

from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.discovery import NotResolvableReason, Step

_FED, _OLD = "_matrix-fed._tcp.", "_matrix._tcp."

_BY_REASON = {
    "no_answer": Hint(
        "dns-no-answer",
        "the DNS gave no definite answer, so the steps end there; answer NXDOMAIN, or "
        "nothing, where there is no record",
    ),
    "no_service": Hint(
        "srv-no-service",
        "an SRV record with the target `.` says that there is no homeserver; name a "
        "host, or remove the record",
    ),
}


def diagnose_resolution(
    steps: Sequence[Step], reason: NotResolvableReason | None = None
) -> list[Hint]:
    """The mistakes in these steps; `reason` is why they led nowhere, if they did."""
    hints = [hint for step in steps for hint in _of_step(step)]
    asked = [step.asked for step in steps if step.step == "srv"]
    found = [each for each in steps if each.step == "srv" and _has_records(each)]
    if found and found[0].asked.startswith(_OLD) and asked[0].startswith(_FED):
        text = (
            "the service `_matrix._tcp` is deprecated; publish the same record at "
            "`_matrix-fed._tcp`"
        )
        hints.append(Hint("srv-deprecated", text))
    if reason in _BY_REASON:
        hints.append(_BY_REASON[reason])
    return hints


def _of_step(step: Step) -> Iterator[Hint]:
    if step.step == "well-known":
        if step.reason == "no_delegation" and "status 404" not in step.found:
            text = (
                "the well-known document delegates to no server; serve "
                '`{"m.server": "NAME:PORT"}` with status 200, or answer 404'
            )
            yield Hint("well-known-invalid", text)
    elif "(unusable: " in step.found:
        text = "an SRV record cannot be used; it needs a host name and a port above 0"
        yield Hint("srv-unusable", text)
    elif "is an alias of" in step.found:
        text = "the target of an SRV record is an alias; name the host itself"
        yield Hint("srv-alias", text)


def _has_records(step: Step) -> bool:
    return step.found != "no such record" and not step.found.startswith("no answer")
