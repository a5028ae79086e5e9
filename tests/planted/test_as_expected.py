"""What a server fails to check is found by one request that is wrong on purpose."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homeserver.testing import ExpectationFailed, Lab, Server
from tests.planted.answers import SEND
from tests.planted.dns import look_up
from tests.planted.server import PlantedServer

Plant = Callable[..., AbstractContextManager[PlantedServer]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests: each has a server of its own."""
    with Lab() as running:
        yield running


@pytest.fixture
def ours(lab: Lab) -> Server:
    """A server of the lab."""
    return lab.server()


@pytest.fixture
def plant(tmp_path: Path, ours: Server) -> Plant:
    """Runs a planted server with mistakes, which finds the server of the lab."""
    port = int(ours.listen.rpartition(":")[2])

    def planted(*faults: str) -> AbstractContextManager[PlantedServer]:
        addresses = {ours.name: port}
        return PlantedServer(tmp_path, frozenset(faults), addresses).running()

    return planted


MISTAKES = [
    ("signature-unchecked", "signature", "answers 401 or 403: the signature does not"),
    ("destination-unchecked", "destination", "answers 401 or 403: the request is for"),
    ("duplicate-unanswered", "replay", "answers as it did the first time, with 200."),
]


@pytest.mark.parametrize("is_wrong", [False, True])
@pytest.mark.parametrize(("fault", "spoil", "sentence"), MISTAKES)
def test_what_is_checked(
    ours: Server, plant: Plant, fault: str, spoil: str, sentence: str, is_wrong: object
) -> None:
    """The result says what a right server does, and that this one does not."""
    with plant(*([fault] if is_wrong else [])) as them:
        body = {"origin": ours.name, "origin_server_ts": 1, "pdus": [], "edus": []}
        found = ours.request(
            them.name, f"{SEND}1", method="PUT", content=body, spoil=[spoil]
        ).json
    assert found["as_expected"] is not is_wrong
    assert any(sentence in each for each in found["expected"])


def test_srv(lab: Lab, ours: Server) -> None:
    """A look-up that asks for the SRV record is found in the record."""
    look_up(ours.name, lab.dns)
    assert ours.expect(kind="dns", method="SRV", path=f"_matrix-fed._tcp.{ours.name}")


def test_srv_ignored(lab: Lab, ours: Server) -> None:
    """The error says that an address was asked for in place of the SRV record."""
    look_up(ours.name, lab.dns, frozenset({"srv-ignored"}))
    with pytest.raises(ExpectationFailed) as failed:
        ours.expect(kind="dns", method="SRV", within=1.0)
    assert "SRV" in str(failed.value)
    assert "'A'" in str(failed.value)
