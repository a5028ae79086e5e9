"""The names of ours that the rows of a test's store belong to."""

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.queue_id import QueueId

OUR_NAME, OTHER_NAME = map(ServerName.parse, ["us.example", "our.other.example"])


def queue_to(destination: str) -> QueueId:
    """Our queue for a destination."""
    return QueueId(OUR_NAME, ServerName.parse(destination))
