"""The templates of the paths of the server-server API."""

import re

from homeserver.protocol.federation_paths import TEMPLATES

_PATH = re.compile(
    r"/\.well-known/matrix/server|/_matrix/(key|federation)/v[12](/([\w3]+|\{\w+\}))*"
)


def test_templates() -> None:
    """Each is a path of its own, of one of the API's parts."""
    assert [each for each in TEMPLATES if not _PATH.fullmatch(each)] == []
    assert len(set(TEMPLATES)) == len(TEMPLATES)
