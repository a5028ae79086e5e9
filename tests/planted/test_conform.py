"""`homeserver conform` finds what is wrong with the planted homeserver, and no more."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homeserver.lab.authority.authority import Authority, chain_pem, key_pem
from homeserver.lab.folder import Folder
from scripts.processes import PROGRAM
from tests.planted.server import PlantedServer
from tests.support.conformance_stage import Stage, stage

Plant = Callable[..., AbstractContextManager[PlantedServer]]

_SECONDS = 120.0  # for a run that takes five; machines are shared

# The areas of what it is and does; it has no rooms, no users, and is no notary.
_WHOLE = ["A", "H", "K", "M", "T", "V", "X"]

# It reads no well-known document, and is never restarted.
_LACKS = {"T18", "X27"}

# They wait, or make much; the faults of the others do not matter to them.
_SLOW = {"A35", "H13", "M17", "M22", "M23", "T18", "T20", "X25"}


@pytest.fixture(scope="module")
def on_stage(pytestconfig: pytest.Config) -> Iterator[Stage]:
    """A lab for all runs; each has a target of its own."""
    with stage(is_whole=pytestconfig.getoption("--whole")) as running:
        yield running


@pytest.fixture
def plant(on_stage: Stage, tmp_path: Path) -> Plant:
    """Runs a planted server that trusts the lab and asks its name server."""
    lab = on_stage.lab
    pem = _certify(lab.authority, tmp_path)

    def planted(*faults: str) -> AbstractContextManager[PlantedServer]:
        return PlantedServer(
            tmp_path,
            frozenset(faults),
            dns=lab.where.dns,
            ca_file=Path(lab.where.ca_file),
            pem=pem,
        ).running()

    return planted


def _certify(authority: Authority, folder: Path) -> Path:
    certificate = authority.issue("127.0.0.1")
    pem = folder / "trusted.pem"
    pem.write_text(key_pem(certificate) + chain_pem(certificate))
    return pem


def test_a_sound_server_has_its_lacks_alone(on_stage: Stage, plant: Plant) -> None:
    """Nothing is red but how it finds names; what it is and does is tested whole."""
    with plant() as them:
        results = on_stage.run_against(them.name, [], ["D", "H13", "M17", "T20"])
    found = {
        each.id: each.observed
        for each in results.values()
        if each.result not in {"pass", "info", "not-testable"} and each.area != "D"
    }
    assert found == {}
    untested = {
        each.id
        for each in results.values()
        if each.result == "not-testable" and each.area in _WHOLE
    }
    assert untested & on_stage.testable(untested) <= _LACKS


_ANY_CERTIFICATE = {
    *("T02", "T03", "T04", "T05", "T10", "T11", "T12"),
    *("T01", "T06", "T08", "T17", "T19"),
}

OWN_KEYS = ["A0*", "K", "M0*", "T3*", "V"]
OWN_KEYS_FAULTS = [
    ("key-is-seed", {"K02"}),
    ("key-hexadecimal", {"K02", "K05"}),
    ("document-unsigned", {"K02"}),
    ("document-spaces", {"K02"}),
    ("document-expired", {"K03"}),
    ("document-seconds", {"K03"}),
    ("name-of-document", {"K02"}),
]

KEYS_OF_OTHERS = ["A", "K", "M", "V"]
KEYS_OF_OTHERS_FAULTS = [
    ("document-signature-unchecked", {"M03", "M04"}),
    ("document-name-unchecked", {"M05"}),
    ("validity-unchecked", {"M02", "M15", "M23"}),
    ("old-keys-believed", {"M07", "M23"}),
    ("keys-not-kept", {"M21", "M26"}),
]

FINDING = ["D1[1-3]", "M0*", "T"]
FINDING_FAULTS = [
    ("certificate-unchecked", _ANY_CERTIFICATE),
    ("certificate-name-unchecked", {"T01", "T06", "T08", "T17", "T19"}),
    ("common-name-believed", {"T06"}),
    ("srv-ignored", {"D11", "D12", "D13"}),
    # The lab shows who names no host a certificate of its own.
    ("no-sni", {"D11", "D12", *_ANY_CERTIFICATE}),
]

REQUESTS = ["A", "H0*", "M0*", "X0*", "X2*"]
REQUESTS_FAULTS = [
    (
        "signature-unchecked",
        {
            *("A15", "A16", "A17", "A18", "A19", "A20", "A21"),
            *("A23", "A24", "A25", "A26"),
        },
    ),
    ("destination-unchecked", {"A14"}),
    ("path-decoded", {"A22", "A23"}),
    ("query-left-out", {"A01", "A21"}),
    ("slash-added", {"A01"}),
    ("json-escapes", {"X26"}),
    # All requests are refused by these; it is one failure.
    *(
        (fault, {"M01"})
        for fault in (
            "url-signed",
            "prefix-left-out",
            "method-small",
            "destination-unsigned",
            "destination-port",
            "origin-unsigned",
            "names-exchanged",
            "content-left-out",
            "content-string",
            "content-empty",
            "content-alone",
            "json-spaces",
            "json-unsorted",
            "digest-signed",
        )
    ),
]

TRANSACTIONS = ["X"]
TRANSACTIONS_FAULTS = [
    ("duplicate-unanswered", {"X06"}),
    ("id-of-all", {"X22"}),
    ("pdus-unlimited", {"X18"}),
    ("edus-unlimited", {"X04"}),
    ("item-fatal", {"X13"}),
    ("id-of-unredacted", {"X16", "X22"}),
    ("id-standard", {"X16", "X22"}),
    ("id-padded", {"X16", "X22"}),
]


ROWS = [
    (areas, fault, expected)
    for areas, faults in (
        (OWN_KEYS, OWN_KEYS_FAULTS),
        (KEYS_OF_OTHERS, KEYS_OF_OTHERS_FAULTS),
        (FINDING, FINDING_FAULTS),
        (REQUESTS, REQUESTS_FAULTS),
        (TRANSACTIONS, TRANSACTIONS_FAULTS),
    )
    for fault, expected in faults
]


@pytest.mark.parametrize(("areas", "fault", "expected"), ROWS)
def test_a_fault_is_named(
    on_stage: Stage, plant: Plant, areas: list[str], fault: str, expected: set[str]
) -> None:
    """It is named by the checks that are about it, and by no other near them."""
    skip = sorted(_SLOW - expected)
    only = on_stage.met_by_fault(expected, areas)
    found: dict[str, str] = {}
    # One ID in four is the same in both alphabets.
    for _ in range(10 if fault == "id-standard" else 1):
        with plant(fault) as them:
            results = on_stage.run_against(them.name, only, skip)
        wrong = (each for each in results.values() if each.result in {"fail", "warn"})
        found |= {each.id: each.observed for each in wrong}
        assert "error" not in {each.result for each in results.values()}
        if found.keys() >= expected:
            break
    assert found.keys() == on_stage.testable(expected), found


def test_the_command(tmp_path: Path) -> None:
    """Without a name server of ours, our names are those of `localhost`."""
    ours = Folder(tmp_path / "data")
    authority = Authority(ours.seed(None))
    ours.write_authorities(authority.pem, [])
    pem = _certify(authority, tmp_path)
    with PlantedServer(tmp_path, ca_file=ours.ca_file, pem=pem).running() as them:
        done = subprocess.run(
            [
                *[str(PROGRAM), "conform", them.name, "--data", str(tmp_path / "data")],
                *["--only", "K", "--only", "M0*", "--only", "T0*"],
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Discovery cannot be tested" in done.stderr
