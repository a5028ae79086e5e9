"""The queue of a destination, as the list of known peers has it."""

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Database
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.outbox.progress import QueueSummary


async def queue_summary(
    database: Database, own: ServerName, destination: ServerName
) -> QueueSummary | None:
    """A queue of one of our names; None if it is and was empty."""
    peer = await KnownPeers(database, own).find(destination)
    return None if peer is None else peer.queue
