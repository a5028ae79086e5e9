"""Structs as the JSON that they are written as."""

import msgspec
from msgspec import Struct

from homeserver.protocol.canonical_json import Json, as_object, parse


def as_json(value: Struct) -> Json:
    """A struct as JSON, with what is written in it as JSON already."""
    return as_object(parse(msgspec.json.encode(value)), "a struct")
