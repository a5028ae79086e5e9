"""A request to one of our listeners: HTTP's, and the steps of its path.

Rules of the room: that of Twisted's web server is not taken. It keeps sessions, shows
errors as HTML and goes to other processes; to load what that takes is two megabytes.
"""

from urllib.parse import unquote_to_bytes

from twisted.web import http
from twisted.web.resource import IResource, getChildForRequest


class Request(http.Request):
    """A request that is answered by one of a tree of resources."""

    prepath: list[bytes]
    """The steps that led to the resource."""

    postpath: list[bytes]
    """Those that are left."""

    is_refused = False
    """Whether it was answered before anything looked at its body."""

    def find_resource(self, root: IResource) -> IResource:
        """The resource that the path leads to."""
        self.prepath = []
        self.postpath = [unquote_to_bytes(each) for each in self.path[1:].split(b"/")]
        found: IResource = getChildForRequest(root, self)
        return found
