"""The route table of a control API: its routes, their description, and the page.

Rules: every request is judged by the guard; what needs no token is listed in
`OPEN_TEMPLATES` of `control.routes` and of `control.page.routes`.
"""

from collections.abc import Collection, Sequence

from homeserver.control import routes
from homeserver.control.access import IN_TOKEN_FILE, TokenGuard
from homeserver.control.openapi import described
from homeserver.control.page import routes as page
from homeserver.control.routing import ControlRoute
from homeserver.http.request import Request
from homeserver.http.router import Check, Router


def control_router(
    table: Sequence[ControlRoute],
    token: str,
    hosts: Collection[str],
    judge: Check = lambda _, __: None,
    source: str = IN_TOKEN_FILE,
) -> Router:
    """The table behind a token, as `TokenGuard`.

    `judge` sees a request after the guard.
    """
    open_templates = routes.OPEN_TEMPLATES | page.OPEN_TEMPLATES
    guard = TokenGuard(token, open_templates, hosts, source)

    def check(request: Request, template: str) -> None:
        guard.check(request, template)
        judge(request, template)

    return Router(
        [*described(table, routes.OPEN_TEMPLATES), *page.page_routes()], check
    )
