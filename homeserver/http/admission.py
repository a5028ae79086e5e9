"""The admission of a request: all that its head decides, once.

Rules: nothing of a body is needed here. A request with a body is admitted before its
body is read, any other one when it is complete.
"""

from homeserver.http.request import Request
from homeserver.http.router import Route, Router


def admit(request: Request, router: Router, *, has_body: bool) -> Route:
    """The route of a request, whose parameters and template are set.

    Raises `ProtocolError` where the table, its check or the route refuses it.
    """
    match = router.find(request.path)
    router.check(request, match.template)
    request.parameters = match.parameters
    request.exchange.route = match.template
    route = match.route(request.method)
    if has_body and route.admit is not None:
        route.admit(request)
    return route
