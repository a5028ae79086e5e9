"""The files of conf/ci agree with each other and with what they name.

Rules: they are read by a parser of YAML. What they do is tried in `tests/interop`.
"""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeserver.cli.lab import lab as lab_command

TOP = Path(__file__).parent.parent.parent
CI = TOP / "conf" / "ci"
TOKEN = "HOMESERVER_LAB_TOKEN"

Services = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """What docker-compose.yml has."""
    return dict(yaml.safe_load((CI / "docker-compose.yml").read_text()))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    """Its services, by name."""
    return dict(compose["services"])


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """What workflow.yml does."""
    return dict(yaml.safe_load((CI / "workflow.yml").read_text())["jobs"]["federation"])


@pytest.fixture(scope="module")
def options(services: Services) -> dict[str, Any]:
    """The options of the lab, as the program reads them."""
    name, *arguments = services["lab"]["command"]
    assert name == lab_command.name
    return lab_command.make_context("lab", arguments).params


def test_both_are_built_of_files_that_are_there(services: Services) -> None:
    """Each image has its Dockerfile, and what that copies is in its context."""
    assert set(services) == {"lab", "synapse"}
    kept = (TOP / ".dockerignore").read_text().splitlines()
    assert (CI / services["lab"]["build"]).resolve() == TOP
    build = services["synapse"]["build"]
    assert (CI / build["context"]).resolve() == TOP
    dockerfile = (TOP / build["dockerfile"]).read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert copied == ["constraints-synapse.txt", "conf/ci/start_synapse.py"]
    for each in copied:
        assert (TOP / each).is_file()
        assert f"!{each}" in kept


def test_synapse_asks_the_name_server_of_the_lab(
    compose: dict[str, Any], services: Services, options: dict[str, Any]
) -> None:
    """It is at an address of the network, and at the port that resolvers ask."""
    address = services["lab"]["networks"]["federation"]["ipv4_address"]
    [pool] = compose["networks"]["federation"]["ipam"]["config"]
    assert ip_address(address) in ip_network(pool["subnet"])
    assert services["synapse"]["dns"] == address
    assert str(options["dns"]) == "0.0.0.0:53"
    assert services["lab"]["sysctls"] == {"net.ipv4.ip_unprivileged_port_start": 0}


def test_synapse_reaches_the_control_api(
    services: Services, options: dict[str, Any]
) -> None:
    """The lab answers to the name of its service, and runs before Synapse starts."""
    variables = services["synapse"]["environment"]
    [host] = options["control_hosts"]
    assert variables["HOMESERVER_LAB"] == f"http://{host}:{options['control'].port}"
    assert host in services
    assert variables[TOKEN] == services["lab"]["environment"][TOKEN]
    wanted = services["synapse"]["depends_on"]
    assert wanted == {"lab": {"condition": "service_healthy"}}
    assert str(options["control"].port) in services["lab"]["healthcheck"]["test"][-1]


def test_all_use_one_name_for_synapse(services: Services) -> None:
    """The alias in the network is its server name."""
    [alias] = services["synapse"]["networks"]["federation"]["aliases"]
    assert f'SERVER_NAME = "{alias}"\n' in (CI / "start_synapse.py").read_text()
    assert f'SYNAPSE = "{alias}"\n' in (CI / "test_synapse.py").read_text()


def test_the_workflow_tests_and_takes_down(
    services: Services, job: dict[str, Any]
) -> None:
    """Containers come up before the tests, and go down however those end."""
    host = job["env"]["HOMESERVER_LAB"].removeprefix("http://")
    assert services["lab"]["ports"] == [f"{host}:{host.partition(':')[2]}"]
    assert job["env"][TOKEN]
    steps = [each for each in job["steps"] if "run" in each]
    commands = [each["run"] for each in steps]
    for word in " ".join(commands).split():
        assert not word.startswith("conf/") or (TOP / word).is_file()
    [up] = [n for n, each in enumerate(commands) if " up " in each]
    [tests] = [n for n, each in enumerate(commands) if each.startswith("pytest ")]
    [down] = [n for n, each in enumerate(commands) if " down " in each]
    assert up < tests < down
    assert "--wait" in commands[up]
    assert steps[down]["if"] == "always()"
