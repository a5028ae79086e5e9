"""The parts of a signed request, and the mistakes that are made with each of them.

Rules: a mistake changes one part, or the form of the whole text; mistakes of different
parts can be made together.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import encode, parse_object
from homeserver.protocol.diagnosis.body_changes import CHANGES
from homeserver.protocol.diagnosis.hint import Hint, clip, compared
from homeserver.protocol.diagnosis.json_forms import (
    CANONICAL,
    FORMS,
    Form,
    Value,
    form_hints,
    write,
)
from homeserver.protocol.diagnosis.targets import wrong_targets
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName

# Changing a body of this size, or encoding it in a wrong form, takes 2 milliseconds.
MAX_FORM_BYTES = 16 * 1024

# A body of this size takes two milliseconds to read and to encode.
MAX_BODY_BYTES = 128 * 1024

_FORM_BYTES_PER_US = 40  # encoded by the library, which is slower than ours
_CHANGE_BYTES_PER_US = 10  # changed value by value

# In which order implementations write the members that they do not sort.
ORDERS: Sequence[Sequence[str]] = (
    ("method", "uri", "origin", "destination", "content"),
    ("origin", "destination", "method", "uri", "content"),
)

_METHODS = ("GET", "PUT", "POST")

Parts = Mapping[str, Value]
"""The members of the signed object, by name."""


class ReceivedRequest(Struct, frozen=True):
    """A request whose signature does not verify."""

    method: str
    uri: str
    """The target as on the wire."""

    body: bytes
    own_name: ServerName
    """The server that received it."""

    other_names: Sequence[str] = ()
    """Other names of that server: after delegation, in `Host`, of other identities."""


class Mistake(Struct, frozen=True):
    """What may have been signed instead."""

    changes: Mapping[str, Value | None]
    """The parts that differ; None for a part that is missing."""

    hints: tuple[Hint, ...]
    form: Form | None = None
    order: Sequence[str] = ()
    is_body_alone: bool = False
    """Whether the body was signed without the request around it."""

    cost: int = 0
    """Of making it, in microseconds."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of its hints."""
        if self.form is not None:
            return self.form.codes
        return tuple(hint.code for hint in self.hints)

    def conflicts_with(self, other: "Mistake") -> bool:
        """Whether both cannot be made together."""
        if (self.form and other.form) or self.is_body_alone or other.is_body_alone:
            return True
        return not self.changes.keys().isdisjoint(other.changes)


def right_parts(request: ReceivedRequest, origin: ServerName) -> Parts:
    """The signed object as it should be; `ProtocolError` if the body is no JSON object.

    A body of more than `MAX_BODY_BYTES` is left out.
    """
    parts = {
        "method": Value(request.method),
        "uri": Value(request.uri),
        "origin": Value(origin.name),
        "destination": Value(request.own_name.name),
    }
    if 0 < len(request.body) <= MAX_BODY_BYTES:
        parts["content"] = Value(parse_object(request.body))
    return parts


def write_parts(parts: Parts, mistakes: Sequence[Mistake]) -> bytes:
    """The bytes that were signed if these mistakes were made together."""
    changed = dict(parts)
    form: Form = CANONICAL
    order: Sequence[str] = ()
    for mistake in mistakes:
        for name, value in mistake.changes.items():
            if value is None:
                changed.pop(name, None)
            else:
                changed[name] = value
        if mistake.is_body_alone:
            return changed["content"].text()
        if mistake.form is not None:
            form, order = mistake.form, mistake.order
    return write(changed, form, order)


def mistakes_in(
    request: ReceivedRequest, origin: ServerName, parts: Parts
) -> Iterator[Mistake]:
    """The mistakes to look for, the most common first."""
    own = request.own_name
    names = [own.name, *request.other_names]
    yield from _content_mistakes(request.body, parts)
    for target, hint in wrong_targets(request.uri, names):
        yield Mistake({"uri": Value(target)}, (hint,))
    yield from _name_mistakes("destination", own, [*request.other_names, ""])
    yield from _method_mistakes(request.method)
    yield from _form_mistakes(request.body)
    yield from _name_mistakes("origin", origin, [])
    exchanged = Hint(
        "names-exchanged",
        "`origin` and `destination` are exchanged in the signed object",
        origin.name,
        own.name,
    )
    yield Mistake(
        {"origin": Value(own.name), "destination": Value(origin.name)}, (exchanged,)
    )
    missing = Hint("uri-missing", "the signed object has no `uri`; sign it")
    yield Mistake({"uri": None}, (missing,))
    for name in ("signatures", "unsigned"):
        extra = Hint(
            "extra-member",
            f"the signed object has `{name}`; remove `signatures` and `unsigned` "
            "before signing",
        )
        yield Mistake({name: Value({})}, (extra,))
    if "content" in parts and len(request.body) <= MAX_FORM_BYTES:
        yield from _value_mistakes(parts["content"])


def hints_on(parts: Parts, mistake: Mistake) -> tuple[Hint, ...]:
    """The hints on a mistake that explains a signature over these parts."""
    if mistake.form is None:
        return mistake.hints
    written = write_parts(parts, [mistake])
    return tuple(form_hints(mistake.form, written, write_parts(parts, [])))


def content_missing(canonical: str | None = None) -> Hint:
    """The hint on a body, in canonical JSON if it is known, that was not signed."""
    text = "the signature does not cover the body; sign it as `content`"
    return Hint(
        "content-missing", text, None, None if canonical is None else clip(canonical)
    )


def _method_mistakes(method: str) -> Iterator[Mistake]:
    for other in (method.lower(), *_METHODS):
        if other != method:
            text = "another `method` was signed; sign that of the request line"
            hint = Hint("method", text, other, clip(method))
            yield Mistake({"method": Value(other)}, (hint,))


def _name_mistakes(
    part: str, name: ServerName, others: Sequence[str]
) -> Iterator[Mistake]:
    """The mistakes in `origin` or `destination`, which should be `name`."""
    text = (
        f"the signed object has no `{part}`; sign it, even where the header may leave "
        "it out"
    )
    yield Mistake({part: None}, (Hint(f"{part}-missing", text, None, name.name),))
    host = name.name if name.port is None else name.name.rpartition(":")[0]
    seen = {name.name}
    for other in (
        host,
        *others,
        f"{host}:{DEFAULT_PORT}",
        name.name.lower(),
        f"https://{name}",
    ):
        if other not in seen:
            seen.add(other)
            text = (
                f"another `{part}` was signed; sign the server name, before delegation "
                "and byte for byte"
            )
            hint = Hint(part, text, other, name.name)
            yield Mistake({part: Value(other)}, (hint,))
    text = f"`{part}` was signed as null; sign the server name"
    yield Mistake({part: Value(None)}, (Hint(part, text, "null", name.name),))


def _form_mistakes(body: bytes) -> Iterator[Mistake]:
    if len(body) > MAX_FORM_BYTES:
        return
    cost = len(body) // _FORM_BYTES_PER_US
    for form in FORMS:
        for order in ORDERS[:1] if form.is_sorted else ORDERS:
            yield Mistake({}, (), form, order, cost=cost)


def _content_mistakes(body: bytes, parts: Parts) -> Iterator[Mistake]:
    content = parts.get("content")
    if content is None:
        if body:
            return  # too large to be searched
        for value, shown in (({}, "{}"), (None, "null"), ("", '""')):
            text = (
                "the signed object has `content`, but the request has no body; leave "
                "`content` out"
            )
            hint = Hint("content-without-body", text, shown)
            yield Mistake({"content": Value(value)}, (hint,))
        return
    canonical = content.text().decode("utf-8")
    yield Mistake({"content": None}, (content_missing(canonical),))
    for value, shown in (({}, "{}"), (None, "null")):
        text = f"`content` was signed as {shown}; sign the body of the request"
        empty = compared("content-empty", text, shown, canonical)
        yield Mistake({"content": Value(value)}, (empty,))
    # The body is UTF-8, as it was read as JSON.
    sent = body.decode("utf-8")
    for string in dict.fromkeys((sent, canonical)):
        text = "the body was signed as a JSON string; sign it as a JSON object"
        written = encode(string).decode("utf-8")
        hint = compared("content-string", text, written, canonical)
        yield Mistake({"content": Value(string)}, (hint,))
    if sent != canonical:
        text = (
            "the bytes of the body were signed as they were sent; sign `content` in "
            "canonical JSON, whatever the body looks like"
        )
        hint = compared("content-as-sent", text, sent, canonical)
        yield Mistake({"content": Value(None, raw=body)}, (hint,))
    text = "the body alone was signed; sign the whole object, with `method` and `uri`"
    alone = Hint("content-alone", text, clip(sent), clip(canonical))
    yield Mistake({}, (alone,), is_body_alone=True)
    raw = Value(None, raw=body)
    yield Mistake({"content": raw}, (alone,), is_body_alone=True)


def _value_mistakes(content: Value) -> Iterator[Mistake]:
    """The mistakes in the values of a body."""
    canonical = content.text().decode("utf-8")
    cost = len(canonical) // _CHANGE_BYTES_PER_US
    for change, code, text in CHANGES:
        # Each is a mistake, also where it changes nothing, so that slices stay short.
        changed = Value(change(content.value))
        written = changed.text().decode("utf-8")
        hint = compared(code, text, written, canonical)
        yield Mistake({"content": changed}, (hint,), cost=cost)
