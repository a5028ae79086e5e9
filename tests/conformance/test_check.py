"""The rows of checks: IDs, rules, links, and which are chosen."""

import pytest

from homeserver.conformance.check import check, link_of, must
from homeserver.conformance.outcome import (
    Outcome,
    each_of,
    expect,
    reported,
    unmet,
)
from homeserver.conformance.registry import (
    UnknownCheck,
    all_checks,
    select,
    with_prerequisites,
)
from homeserver.conformance.target import Target

_SPEC = "https://spec.matrix.org/v1.19"


@pytest.mark.parametrize(
    ("section", "link"),
    [
        (
            "Server-server API, Publishing Keys",
            f"{_SPEC}/server-server-api/#publishing-keys",
        ),
        (
            "Server-server API, GET /_matrix/key/v2/query/{serverName}",
            f"{_SPEC}/server-server-api/#get_matrixkeyv2queryservername",
        ),
        ("Appendices, Canonical JSON", f"{_SPEC}/appendices/#canonical-json"),
        ("Room version 11, Redactions", f"{_SPEC}/rooms/v11/#redactions"),
        ("RFC 9112, section 7.1", "https://www.rfc-editor.org/rfc/rfc9112"),
        ("", None),
    ],
)
def test_a_section_has_a_link(section: str, link: str | None) -> None:
    """It leads to the text that decides."""
    assert link_of(section) == link


@pytest.mark.parametrize("check_id", ["", "K", "K1", "k01", "K01 ", "K001", "K01A"])
def test_what_is_no_id(check_id: str) -> None:
    """A mistake of whoever writes a check is found when it is loaded."""
    with pytest.raises(ValueError, match="no ID"):
        check(check_id, must, "")


def test_a_check_has_a_rule() -> None:
    """Its docstring, in one line."""

    async def run(_: Target) -> Outcome:
        return expect(is_met=True)

    run.__doc__ = "The rule has\ntwo lines.\n\nAnd more."

    async def silent(_: Target) -> Outcome:
        return expect(is_met=True)

    assert check("Z01", must, "")(run).rule == "The rule has two lines."
    with pytest.raises(ValueError, match="no rule"):
        check("Z01", must, "")(silent)


@pytest.mark.parametrize(
    ("only", "skip", "chosen"),
    [
        (["K01"], [], ["K01"]),
        (["V"], [], ["V01"]),
        (["K0[12]", "V"], ["K02"], ["K01", "V01"]),
        (["publishing keys"], [], ["K02", "M03", "M04", "M05"]),
    ],
)
def test_patterns(only: list[str], skip: list[str], chosen: list[str]) -> None:
    """IDs, areas, patterns and sections."""
    found = [each.id for each in select(all_checks(), only, skip)]
    assert [each for each in found if each in {*chosen, "K02", "M01"}] == chosen


def test_an_unknown_pattern() -> None:
    """It is a mistake of the caller, also in what is to be skipped."""
    with pytest.raises(UnknownCheck, match="'NONE'"):
        select(all_checks(), [], ["NONE"])


@pytest.mark.parametrize(
    ("only", "whole"), [([], "all of them"), (["V"], "all that --only chooses")]
)
def test_no_check_is_left(only: list[str], whole: str) -> None:
    """What is said names the options that were given, and no other."""
    with pytest.raises(UnknownCheck, match=f"--skip leaves out {whole}$"):
        select(all_checks(), only, ["*"])


def test_prerequisites_come_first() -> None:
    """Each is there once, before what comes after it."""
    known = all_checks()
    ordered = with_prerequisites(known, [known["M02"], known["K02"]])
    assert [each.id for each in ordered] == ["M01", "M02", "K01", "K02"]


def _met(observed: str, expected: str = "") -> Outcome:
    return Outcome(is_met=True, observed=observed, expected=expected)


TOGETHER: list[tuple[list[tuple[str, Outcome]], Outcome]] = [
    ([], Outcome(is_met=True, observed="")),
    (
        [("a", _met("x", "v")), ("b", _met("y", "w"))],
        Outcome(is_met=True, observed="b: y"),
    ),
    (
        [("a", _met("x")), ("b", reported("y"))],
        Outcome(is_met=True, observed="b: y"),
    ),
    (
        [
            ("a", unmet("x", wanted="v")),
            ("b", _met("y", "w")),
            ("c", unmet("z")),
            ("d", reported("z")),
        ],
        Outcome(is_met=False, observed="a: x; c: z", expected="a: v"),
    ),
]


@pytest.mark.parametrize(("outcomes", "whole"), TOGETHER)
def test_outcomes_together(outcomes: list[tuple[str, Outcome]], whole: Outcome) -> None:
    """What is not met is shown with its label; where all is met, the last one."""
    assert each_of(outcomes) == whole
