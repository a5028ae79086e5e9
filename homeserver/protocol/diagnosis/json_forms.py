"""JSON in the wrong forms in which implementations sign it.

Rules: a form says how a whole text is written: white space, the order of members,
escapes. `CANONICAL` is the right one. Each value is encoded once for each form.

Specification: Appendices, "Canonical JSON".
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.diagnosis.hint import Hint, compared

Escape = Callable[[bytes], bytes]


class Form(Struct, frozen=True):
    """How a JSON text is written."""

    codes: tuple[str, ...] = ()
    """The codes of the hints on this form."""

    is_spaced: bool = False
    """Whether a space follows each colon and comma."""

    is_sorted: bool = True
    is_ascii: bool = False
    """Whether each character beyond ASCII is an escape, as Python and PHP do."""

    escape: Escape | None = None
    finish: Escape | None = None
    """Makes the signed bytes of the text."""


CANONICAL = Form()


class Value:
    """A JSON value in all its forms."""

    def __init__(self, value: object, raw: bytes | None = None) -> None:
        """`raw` is a text that stands for the value in every form."""
        self.value = value
        self.raw = raw
        self._texts: dict[tuple[bool, bool, bool], bytes] = {}

    def text(self, form: Form = CANONICAL) -> bytes:
        """The value's JSON in a form, without what its `escape` and `finish` do."""
        if self.raw is not None:
            return self.raw
        key = form.is_spaced, form.is_sorted, form.is_ascii
        if key not in self._texts:
            self._texts[key] = _encode(self.value, form)
        return self._texts[key]


def _encode(value: object, form: Form) -> bytes:
    if form.is_spaced or form.is_ascii:
        separators = (", ", ": ") if form.is_spaced else (",", ":")
        return json.dumps(
            value,
            ensure_ascii=form.is_ascii,
            sort_keys=form.is_sorted,
            separators=separators,
        ).encode("utf-8")
    return encode(value) if form.is_sorted else msgspec.json.encode(value)


def write(members: Mapping[str, Value], form: Form, order: Sequence[str] = ()) -> bytes:
    """The bytes that are signed: an object of these members, in a form.

    Unsorted members follow `order`; those that it lacks follow in their own.
    """
    names = list(members)
    if form.is_sorted:
        names.sort()
    else:
        names.sort(key=lambda name: order.index(name) if name in order else len(order))
    colon, comma = (b": ", b", ") if form.is_spaced else (b":", b",")
    written = comma.join(
        msgspec.json.encode(name) + colon + members[name].text(form) for name in names
    )
    return finish(b"{" + written + b"}", form)


def finish(text: bytes, form: Form) -> bytes:
    """A text with the escapes of a form, or what is signed in its place."""
    if form.escape is not None:
        text = form.escape(text)
    return text if form.finish is None else form.finish(text)


def escape_slashes(text: bytes) -> bytes:
    r"""Every slash as `\/`: PHP."""
    return text.replace(b"/", b"\\/")


def escape_html(text: bytes) -> bytes:
    r"""Angle brackets and ampersands as `\u` and their codes: Go."""
    for raw in (b"<", b">", b"&"):
        text = text.replace(raw, b"\\u%04x" % raw[0])
    return text


def _line_feed(text: bytes) -> bytes:
    return text + b"\n"


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _sha512(text: bytes) -> bytes:
    return hashlib.sha512(text).digest()


_SPACES, _UNSORTED, _ESCAPES = "json-spaces", "json-unsorted", "json-escapes"

FORMS: Sequence[Form] = (
    Form((_ESCAPES,), is_ascii=True),
    Form((_SPACES,), is_spaced=True),
    Form((_UNSORTED,), is_sorted=False),
    Form((_SPACES, _UNSORTED), is_spaced=True, is_sorted=False),
    Form((_SPACES, _ESCAPES), is_spaced=True, is_ascii=True),
    Form((_UNSORTED, _ESCAPES), is_sorted=False, is_ascii=True),
    Form(
        (_SPACES, _UNSORTED, _ESCAPES), is_spaced=True, is_sorted=False, is_ascii=True
    ),
    Form((_ESCAPES,), escape=escape_html),
    Form((_UNSORTED, _ESCAPES), is_sorted=False, escape=escape_html),
    Form((_ESCAPES,), escape=escape_slashes),
    Form((_ESCAPES,), is_ascii=True, escape=escape_slashes),
    Form((_UNSORTED, _ESCAPES), is_sorted=False, is_ascii=True, escape=escape_slashes),
    Form(("json-newline",), finish=_line_feed),
    Form(("digest-signed",), finish=_sha256),
    Form(("digest-signed",), finish=_sha512),
)
"""The wrong forms, the most common first."""

_TEXTS = {
    _SPACES: "the signed JSON has a space after each colon or comma; canonical JSON "
    "has none",
    _UNSORTED: "the members of the signed JSON are not in the order of their names; "
    "canonical JSON sorts them, in every object",
    _ESCAPES: "the signed JSON has escapes; canonical JSON has each character "
    "beyond ASCII, each slash and each angle bracket as itself",
    "json-newline": "a line feed was signed after the JSON; sign the JSON alone",
    "digest-signed": "a SHA-2 digest of the JSON was signed; sign the JSON itself, "
    "ed25519 needs no digest",
}


def form_hints(form: Form, written: bytes, canonical: bytes) -> Iterator[Hint]:
    """The hints on a text in a form, which is what a peer signed."""
    expected = canonical.decode("utf-8")
    for code in form.codes:
        if form.finish is not None:
            yield Hint(code, _TEXTS[code])
        else:
            received = written.decode("utf-8")
            yield compared(code, _TEXTS[code], received, expected)
