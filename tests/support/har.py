"""Archives of requests (HAR 1.2), read as strictly as the schema says."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct


class HarPair(Struct):
    """A header."""

    name: str
    value: str


class HarPostData(Struct):
    """HAR 1.2, "postData"."""

    mimeType: str
    text: str
    params: list[Any]


class HarRequest(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "request"."""

    method: str
    url: Annotated[str, Meta(pattern="^https://")]
    httpVersion: str
    cookies: list[Any]
    headers: list[HarPair]
    queryString: list[HarPair]
    headersSize: int
    bodySize: int
    postData: HarPostData | None = None


class HarContent(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "content"."""

    size: int
    mimeType: str
    text: str | None = None
    encoding: Literal["base64"] | None = None


class HarResponse(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "response"."""

    status: int
    statusText: str
    httpVersion: str
    cookies: list[Any]
    headers: list[HarPair]
    content: HarContent
    redirectURL: str
    headersSize: int
    bodySize: int


class HarTimings(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "timings": their sum is the time of the entry."""

    send: Annotated[float, Meta(ge=0)]
    wait: Annotated[float, Meta(ge=0)]
    receive: Annotated[float, Meta(ge=0)]


class HarEntry(Struct):
    """HAR 1.2, "entries"; the members of others begin with an underscore."""

    startedDateTime: Annotated[
        str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$")
    ]
    time: Annotated[float, Meta(ge=0)]
    request: HarRequest
    response: HarResponse
    cache: dict[str, Any]
    timings: HarTimings
    # An IP address: readers refuse an empty one.
    serverIPAddress: Annotated[str, Meta(pattern=r"\A[0-9a-f.:]+\Z")] | None = None
    connection: str = ""
    comment: str = ""


class HarNamed(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "creator"."""

    name: str
    version: str


class HarLog(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "log"."""

    version: Literal["1.2"]
    creator: HarNamed
    entries: list[HarEntry]


class Har(Struct, forbid_unknown_fields=True):
    """An archive; the schema is that of HAR 1.2."""

    log: HarLog


_ENTRY_MEMBERS = set(HarEntry.__struct_fields__)


def check_har(archive: object) -> Har:
    """An archive as its readers need it; raises if it is not one."""
    data = msgspec.json.encode(archive)
    for entry in json.loads(data)["log"]["entries"]:
        assert all(name[0] == "_" or name in _ENTRY_MEMBERS for name in entry)
        assert sum(entry["timings"].values()) == pytest.approx(entry["time"])
    return msgspec.json.decode(data, type=Har)
