"""Rules of a lab, put in force and ended through the control API."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeserver.testing import Lab, Server


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
