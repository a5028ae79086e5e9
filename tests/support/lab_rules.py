"""Rules of a lab, put in force through the control API, and requests that meet them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homeserver.testing import Lab, Server
from tests.support.foreign_clients import Asked

VERSION = "/_matrix/federation/v1/version"


def asked(lab: Lab, server: Server, path: str = VERSION, **members: Any) -> Asked:
    """A request of a foreign client to a server; a port in its name is known."""
    assert lab.ca_file is not None
    name = server.name.rpartition(":")[0] or server.name
    return Asked(server.listen, name, lab.ca_file, path, **members)


def put(lab: Lab, server: Server, do: dict[str, object], **members: object) -> int:
    """Put a rule in force; its ID."""
    content = {"do": do, **members}
    made = lab.link.call("POST", "v1", "servers", server.name, "rules", content=content)
    return int(made["id"])


def acted(lab: Lab, server: Server) -> list[tuple[int, int]]:
    """How often each rule of a server has matched and acted."""
    answer = lab.link.call("GET", "v1", "servers", server.name, "rules")
    return [(rule["matched"], rule["acted"]) for rule in answer["rules"]]


@contextmanager
def rule(
    lab: Lab, server: Server, do: dict[str, object], **members: object
) -> Iterator[None]:
    """A rule that is in force for a while."""
    rule_id = put(lab, server, do, **members)
    yield
    lab.link.call("DELETE", "v1", "servers", server.name, "rules", str(rule_id))
