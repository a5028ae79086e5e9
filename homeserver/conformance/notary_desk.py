"""Our notary, which a target under test trusts: what it answers about each name.

Rules: about a name that no check has told it of, it knows nothing; so the target asks
that server itself. It says who was asked for.

Specification: Server-server API, "Querying Keys Through Another Server".
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import DeferredLock

from homeserver.conformance.ours import Ours
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.inbound.notary import parse_queries
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError

Given = Callable[[Ours], Sequence[Json] | Reply]
"""Makes what a notary of ours gives: documents, or a whole reply."""

NAMES = ("notary.{zone}", "matrix.org")
"""The names of our notaries: one for configurations, and one that servers trust by
default, where they ask our name server."""

_PATH = "/_matrix/key/v2/query"


class NotaryDesk:
    """The answers of our notaries."""

    def __init__(self) -> None:
        self._given: dict[str, Given] = {}
        self._asked: dict[str, str] = {}
        self.notaries: list[Ours] = []
        self.turn = DeferredLock()
        """Held by the check whose answers the notaries give: one that is broken may
        keep a target from asking again for a while."""

    def give(self, name: str, given: Given) -> None:
        """Let the notaries answer about a name from now on."""
        self._given[name] = given

    def asked(self, name: str) -> str | None:
        """The notary that was asked about a name; None if none was."""
        return self._asked.get(name)

    def answers(self, notary: Ours) -> Mapping[str, Answer]:
        """The answers of the routes of one notary."""
        self.notaries.append(notary)

        def answer(request: Request) -> Reply:
            return self._answer(notary, _names(request))

        return {
            _PATH: answer,
            f"{_PATH}/{{serverName}}": answer,
            f"{_PATH}/{{serverName}}/{{keyId}}": answer,
        }

    def _answer(self, notary: Ours, names: Sequence[str]) -> Reply:
        documents: list[Json] = []
        for name in names:
            self._asked[name] = notary.name.name
            given = self._given.get(name)
            made: Sequence[Json] | Reply = () if given is None else given(notary)
            if isinstance(made, Reply):
                return made
            documents += made
        return json_reply({"server_keys": documents})


def _names(request: Request) -> Sequence[str]:
    """The names that a query is about."""
    in_path = request.parameters.get("serverName")
    if in_path is not None:
        return [in_path.decode("ascii", "replace")]
    body = b"" if request.content is None else request.content.read()
    try:
        return [query.server_name.name for query in parse_queries(body)]
    except ProtocolError:
        return []
