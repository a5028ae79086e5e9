"""Key documents that we and the reference implementation sign and verify alike."""

import copy
from random import Random

import pytest
import signedjson.key
import signedjson.sign
import signedjson.types
from canonicaljson import encode_canonical_json

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import (
    KeyDocument,
    OldVerifyKey,
    build_v1,
    build_v2,
    parse_v1,
    parse_v2,
)
from homeserver.protocol.signing import SigningKey, sign
from tests.support.key_documents import signing_key

DOCUMENTS = 1000
NAMES = [*map(ServerName.parse, ["a.example", "B.example:8448", "[::1]", "1.2.3.4:1"])]
VERSION = "abcXYZ019_"
TEXT = 'aZ09 "\\/\b\n\x00\x1f\x7f\u2028\u00e9\u65e5\ud7ff\ue000\uff00\U00010000'


class Generated:
    """A document by chance, the same for the same number."""

    def __init__(self, number: int) -> None:
        self.random = Random(number)
        self.version = self.random.choice([1, 2])
        self.server_name = self.random.choice(NAMES)
        count = self.random.randint(1, 4)
        self.keys = [self._key(number) for number in range(count)]
        self.old = [
            OldVerifyKey(self._key(number + 10).verify_key, self._time())
            for number in range(self.random.randint(0, 3))
        ]

    def _key(self, number: int) -> SigningKey:
        version = "".join(self.random.choices(VERSION, k=self.random.randint(1, 12)))
        key_id = KeyId(f"ed25519:{number}_{version}")
        return signing_key(key_id, self.random.randbytes(4))

    def _time(self) -> int:
        return self.random.choice([0, 1, 1_600_000_000_000, 2**53 - 1])

    def _text(self) -> str:
        return "".join(self.random.choices(TEXT, k=self.random.randint(0, 6)))

    def _value(self, depth: int = 0) -> object:
        kind = self.random.randint(0, 7 if depth < 3 else 5)
        if kind == 6:
            return [self._value(depth + 1) for _ in range(self.random.randint(0, 3))]
        if kind == 7:
            return self.members(depth + 1)
        return [None, True, False, self._time(), -self._time(), self._text()][kind]

    def members(self, depth: int = 0) -> Json:
        """Members that mean nothing."""
        count = self.random.randint(0, 3)
        return {f"x{self._text()}": self._value(depth) for _ in range(count)}

    def build(self) -> Json:
        """The document of these keys, with their signatures."""
        if self.version == 1:
            certificate = self.random.randbytes(self.random.randint(0, 50))
            return build_v1(self.server_name, certificate, self.keys)
        return build_v2(self.server_name, self.keys, self.old, self._time())

    def parse(self, document: Json) -> KeyDocument:
        """Read a document as one of this server."""
        parse = parse_v1 if self.version == 1 else parse_v2
        return parse(encode(document), self.server_name)

    def their_keys(self) -> list[signedjson.types.SigningKey]:
        """The keys as the reference implementation has them."""
        return [
            signedjson.key.decode_signing_key_base64(
                "ed25519",
                key.key_id.removeprefix("ed25519:"),
                encode_base64(bytes(key.key)),
            )
            for key in self.keys
        ]

    def they_verify(self, document: Json) -> bool:
        """Whether the reference implementation verifies each signature."""
        try:
            for key in self.their_keys():
                signedjson.sign.verify_signed_json(
                    document, self.server_name.name, signedjson.key.get_verify_key(key)
                )
        except signedjson.sign.SignatureVerifyException:
            return False
        return True

    def we_verify(self, document: Json) -> bool:
        """Whether we verify each signature."""
        try:
            parsed = self.parse(document)
        except Unauthorized:
            return False
        return all(parsed.is_signed_by(key.verify_key) for key in self.keys)


def generated() -> list[Generated]:
    """So many of them."""
    return [Generated(number) for number in range(DOCUMENTS)]


def test_they_verify_what_we_sign() -> None:
    """The reference implementation encodes, verifies and signs as we do."""
    for each in generated():
        unsigned = {**each.build(), **each.members()}
        del unsigned["signatures"]
        document = sign(
            {**unsigned, "unsigned": each.members()}, each.server_name, each.keys
        )
        assert encode(document) == encode_canonical_json(document)
        assert each.they_verify(document)


def test_we_verify_what_they_sign() -> None:
    """A document that the reference implementation signed is read whole."""
    for each in generated():
        document = {**each.build(), **each.members(), "unsigned": each.members()}
        del document["signatures"]
        ours = sign(document, each.server_name, each.keys)
        theirs = copy.deepcopy(document)
        for key in each.their_keys():
            signedjson.sign.sign_json(theirs, each.server_name.name, key)
        assert theirs == ours
        parsed = each.parse(theirs)
        assert parsed.document == theirs
        assert parsed.verify_keys == {key.key_id: key.verify_key for key in each.keys}
        assert all(parsed.is_signed_by(key.verify_key) for key in each.keys)


CHANGES = ["member added", "end moved", "unsigned", "signature", "signature of another"]


@pytest.mark.parametrize("change", CHANGES)
def test_we_doubt_what_they_doubt(change: str) -> None:
    """What was changed after it was signed is refused by both, or by neither."""
    for each in generated()[:: len(CHANGES)]:
        document = each.build()
        assert each.we_verify(document)
        assert each.they_verify(document)
        signatures = document["signatures"]
        assert isinstance(signatures, dict)
        own = signatures[each.server_name.name]
        key_id = each.random.choice(each.keys).key_id
        if change == "member added":
            document["y"] = 1
        elif change == "end moved" and each.version == 2:
            document["valid_until_ts"] = 1_700_000_000_000
        elif change == "unsigned":
            document["unsigned"] = {"age": 1}
        elif change == "signature":
            own[key_id] = encode_base64(each.random.randbytes(64))
        elif change == "signature of another":
            signatures["notary.example"] = {key_id: encode_base64(bytes(64))}
        is_good = change in {"unsigned", "signature of another"} or (
            change == "end moved" and each.version == 1
        )
        assert each.we_verify(document) == each.they_verify(document) == is_good
