"""What the tests of this folder share: one Synapse, and one endpoint of ours."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from subprocess import run

import pytest

from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports
from scripts.synapse import Synapse
from tests.support.json_lines import JsonLines, running
from tests.support.synapse_servers import Neighbourhood, Signer
from tests.support.synapse_users import User

_TOP = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Pair:
    """The two of them, running; each has a name with a port."""

    neighbourhood: Neighbourhood
    synapse: Synapse
    ours: Endpoint
    as_synapse: Signer
    as_ours: Signer


@pytest.fixture(scope="session")
def installed() -> None:
    """Synapse is installed; by one process of the run, for which the others wait."""
    with (_TOP / "constraints-synapse.txt").open() as lock:
        flock(lock, LOCK_EX)
        run([_TOP / "scripts" / "synapse-environment"], check=True)


@pytest.fixture(scope="session")
def gomatrixserverlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that asks gomatrixserverlib, built; skips where Go is missing."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("gomatrixserverlib: Go is not installed")
    program = tmp_path_factory.mktemp("go") / "program"
    command = [go, "build", "-trimpath", "-o", str(program), "."]
    folder = Path(__file__).parent / "gomatrixserverlib"
    built = run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def dendrite(gomatrixserverlib: Path) -> Iterator[JsonLines]:
    """gomatrixserverlib, which is Dendrite's rules, to be asked about rooms."""
    with running([gomatrixserverlib]) as oracle:
        yield oracle


@pytest.fixture(scope="session")
def pair(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Synapse and an endpoint on the loopback interface."""
    neighbourhood = Neighbourhood(tmp_path_factory.mktemp("pair"))
    synapse, ours = neighbourhood.make_both()
    with synapse.running(), ours.running() as process:
        first_line(process)
        yield Pair(neighbourhood, synapse, ours, Signer.of(synapse), Signer.of(ours))


@pytest.fixture(scope="session")
def alice(pair: Pair) -> User:
    """A user of Synapse."""
    return User.register(pair.synapse, "alice")


@pytest.fixture
def stranger(pair: Pair) -> Endpoint:
    """Another endpoint of ours, which does not run yet."""
    [port] = free_ports(1)
    return pair.neighbourhood.make_endpoint(f"localhost:{port}", f"{LOOPBACK}:{port}")
