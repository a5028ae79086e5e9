"""Why a text is not the base64 of so many bytes: alphabet, hexadecimal, length.

Specification: Appendices, "Unpadded Base64".
"""

import re
from collections.abc import Iterator

from homeserver.protocol.canonical_json import decode_base64, encode_base64
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.errors import BadJson
from homeserver.protocol.signing import SIGNATURE_BYTES

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
_TO_STANDARD = str.maketrans("-_", "+/")


def base64_hints(
    what: str, text: str, length: int, *, is_shown: bool = True
) -> Iterator[Hint]:
    """The hints on a text that should be the base64 of `length` bytes.

    `is_shown` is whether the text is quoted: a signature of a request is not.
    """
    for hint in _hints(what, text, length):
        yield hint if is_shown else Hint(hint.code, hint.text)


def _hints(what: str, text: str, length: int) -> Iterator[Hint]:
    given = len(text)
    text = text[:4096]  # ten times a certificate's digest, key or signature
    if len(text) == 2 * length and _HEXADECIMAL.fullmatch(text):
        said = f"{what} is hexadecimal; send unpadded base64"
        yield Hint("base64-hex", said, text, encode_base64(bytes.fromhex(text)))
        return
    standard = text.translate(_TO_STANDARD)
    if standard != text and not _NOT_BASE64.search(standard):
        said = f"{what} is in the URL-safe alphabet; use `+` and `/` for `-` and `_`"
        yield Hint("base64-urlsafe", said, clip(text), clip(standard))
        return
    wrong = _NOT_BASE64.search(text)
    if wrong is not None:
        said = f"character {wrong.start()} of {what}, counted from 0, is not base64"
        yield Hint("base64-invalid", said, wrong[0])
        return
    try:
        data = decode_base64(text)
    except BadJson:
        yield Hint("base64-invalid", f"{what} has an impossible number of characters")
        return
    if length == SIGNATURE_BYTES < len(data):
        said = (
            f"{what} has {len(data)} bytes, as if the signed message followed the "
            "signature; send the 64 bytes of the signature alone"
        )
        yield Hint("signature-with-message", said)
    elif len(data) != length:
        characters = len(encode_base64(bytes(length)))
        said = f"{what} has {given} characters; {length} bytes have {characters}"
        yield Hint("base64-invalid", said)
