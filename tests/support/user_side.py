"""A server with users that a test defines, put together in memory."""

from collections.abc import Mapping
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from homeserver.config.values import Profile
from homeserver.control.routing import Call
from homeserver.control.views import Nothing
from homeserver.http.router import Route
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.shapes import read
from homeserver.users.control_routes import UserDesk
from homeserver.users.control_views import NewMediaBody, NewUserBody, UserView
from homeserver.users.media import MediaShelf
from homeserver.users.routes import user_routes
from homeserver.users.users import Users
from tests.support.federation_side import Endpoint
from tests.support.http_connection import Answer, ask
from tests.support.one_server import OnlyServer
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import THEM

V1 = "/_matrix/federation/v1"
ALICE = f"@alice:{OUR_NAME}"
CONFIGURED = f"@configured:{OUR_NAME}"


class UserSide(Endpoint):
    """A site that answers about users of ours."""

    def __init__(self) -> None:
        super().__init__(profiles={CONFIGURED: Profile(displayname="C")})

    def more_routes(self, servers: OnlyServer) -> list[Route]:
        """The routes about users."""
        self.users = self.server.users = Users(OUR_NAME)
        self.media = self.server.media = MediaShelf()
        self.desk = UserDesk(self.users, self.media, Random(1), 1)
        return user_routes(servers)

    def define(self, user_id: str = ALICE, **members: object) -> UserView:
        """Define a user, as the control API does."""
        body = read(NewUserBody, {"user_id": user_id, **members})
        return self.desk.define(Call(b"/v1/users", {}, Nothing(), body))

    def define_media(self, media_id: str, **members: object) -> None:
        """Define media, as the control API does."""
        body = read(NewMediaBody, {"media_id": media_id, **members})
        self.desk.define_media(Call(b"/v1/media", {}, Nothing(), body))

    def ask(
        self,
        method: str,
        *steps: str,
        content: Json | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Answer:
        """The answer to a signed request of another server."""
        path = "/".join([V1, *(quote(x, safe="/") for x in steps)])
        target = f"{path}?{urlencode(query)}" if query else path
        header = "Authorization: " + THEM.authorize(method, target, content)
        body = None if content is None else encode(content)
        return ask(self.site, method, target, [header], body)

    def claim(self, user_id: str, device_id: str, algorithm: str) -> Any:
        """The keys that are handed out for one device."""
        wanted: Json = {user_id: {device_id: algorithm}}
        answer = self.ask("POST", "user/keys/claim", content={"one_time_keys": wanted})
        assert answer.status == 200, answer.json
        return answer.json["one_time_keys"]
