"""What an operator may do about a certificate that was not accepted.

Rules: nothing is decided here, and a peer gets none of it. A certificate that cannot
be read gets no advice.
"""

from collections.abc import Sequence

from cryptography import x509

from homeserver.protocol.errors import quote

_TRUSTED = "`ca_file` (of a lab: start it with `--trust FILE`)"


def advise(chain: Sequence[bytes]) -> str:
    """The end of a sentence on a rejected certificate.

    `chain` has the certificates (DER) that the peer sent, its own first: what that one
    names, until when it is valid, its issuer, and what to change.
    """
    try:
        leaf, *others = [x509.load_der_x509_certificate(each) for each in chain]
        names = _names(leaf)
        until = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        issuer, is_own = leaf.issuer.rfc4514_string(), leaf.issuer == leaf.subject
        is_complete = any(each.subject == leaf.issuer for each in others)
    except Exception:  # noqa: BLE001 - a certificate is what a peer likes to send
        return ""
    said = f" (it names {quote(names)}, is valid until {until}"
    if is_own:
        said += f"; add it to {_TRUSTED}"
    else:
        said += f", and was issued by {quote(issuer)}"
        if not is_complete:
            said += (
                ", whose certificate was not sent: unless that is the root, send it as "
                "well"
            )
        said += f"; add its root to {_TRUSTED}"
    return f"{said}, or serve `/_matrix/key/v1`)"


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return "nothing"
    return ", ".join(
        [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
    )
