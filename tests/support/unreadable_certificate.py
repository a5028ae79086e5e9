"""A certificate that OpenSSL reads and the library `cryptography` does not."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import Issued, issue_for


def unreadable(name: str, issuer: Issued | None) -> tuple[bytes, Issued]:
    """A certificate of version 6, which OpenSSL reads and cryptography does not.

    Its DER, and the one that it was made from.
    """
    good = issue_for(name, issuer)
    signer = (issuer or good).key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    [before, after] = good.certificate.tbs_certificate_bytes.split(
        b"\xa0\x03\x02\x01\x02"
    )
    signed = before + b"\xa0\x03\x02\x01\x05" + after
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    signature = b"\0" + signer.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = signed + ecdsa_with_sha256 + bytes([3, len(signature)]) + signature
    return b"\x30\x82" + len(der).to_bytes(2, "big") + der, good
