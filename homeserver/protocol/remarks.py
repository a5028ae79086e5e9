"""Remarks: what is accepted although it is wrong or fragile.

Rules: a remark changes nothing. The codes are stable; `REMARKS` lists them all.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.json import decode


class Remark(Struct, frozen=True):
    """Something that another server should change, though it was accepted."""

    code: str
    """One of `REMARKS`."""

    text: str
    """One sentence, safe to show."""

    def __str__(self) -> str:
        return self.text


REMARKS: Mapping[str, str] = {
    "no_destination": "the X-Matrix header has no `destination`",
    "fallback": "a request came to port 8448 although SRV records name another port",
    "no_sni": "the TLS handshake named no server",
    "certificate": "the server's certificate alone does not prove its name",
    "capitals": "the server's name has capitals",
    "padded_base64": "base64 has padding",
    "no_origin": "the transaction has no `origin`",
    "no_origin_server_ts": "the transaction has no `origin_server_ts`",
    "repeated_id": "a transaction ID was used again with other content",
    "reply_json": "the JSON of a reply breaks a rule",
    "reply_pdus": "the reply to a transaction is not as specified",
    "reply_unknown_event": "the reply names an event that was not sent",
    "reply_missing_event": "the reply does not name an event that was sent",
    "reply_event_id": "the reply has an event ID that is computed wrongly",
    "reply_rejection": "the destination rejects an event",
    "no_retry": "what failed for now was not repeated",
    "retry_other_id": "a transaction was repeated under another ID",
    "retry_other_content": "a transaction was repeated with other content",
    "retry_without_pause": "a transaction was repeated at once",
    "retry_without_back_off": "a transaction was repeated in pauses that do not grow",
    "other": "a remark from before there were codes",
}
"""{code: what it means}, of every remark."""


def read_remarks(text: str) -> list[Remark]:
    """Remarks that were stored as a JSON list: objects, or sentences of before."""
    found = decode(text, type=list[Remark | str])
    return [
        each if isinstance(each, Remark) else Remark("other", each) for each in found
    ]
