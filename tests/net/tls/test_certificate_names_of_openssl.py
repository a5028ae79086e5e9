"""A certificate proves the same names to us as to OpenSSL.

What is compared is OpenSSL's own host check, in handshakes of the standard library,
which has it refuse wildcards for a part of a label.
"""

import contextlib
import ssl
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto

from homeserver.net.tls.certificate_names import check_name
from tests.support.certificates import Issued, ip, issue
from tests.support.wrong_certificates import CA

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.hostname_checks_common_name = False
CLIENT.load_verify_locations(cadata=CA.pem.decode("ascii"))
KEY = ec.generate_private_key(ec.SECP256R1())


@lru_cache(maxsize=256)
def issued(*names: str) -> Issued:
    """A trusted certificate for DNS names and addresses."""
    return issue("x", [_entry(name) for name in names], issuer=CA, key=KEY)


def _entry(name: str) -> x509.GeneralName:
    return ip(name[1:-1]) if name.startswith("[") else x509.DNSName(name)


def openssl_accepts(shown: Issued, name: str) -> bool:
    """Whether OpenSSL takes a certificate for that of `name`."""
    server = SSL.Context(SSL.TLS_METHOD)
    shown.value.present_in(server)
    theirs = SSL.Connection(server, None)
    theirs.set_accept_state()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = CLIENT.wrap_bio(incoming, outgoing, server_hostname=name)
    for _ in range(3):
        try:
            ours.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as problem:
            assert problem.verify_code in {62, 64}, problem  # host and IP mismatch
            return False
        else:
            return True
        theirs.bio_write(outgoing.read())
        with contextlib.suppress(SSL.WantReadError):
            theirs.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            while True:
                incoming.write(theirs.bio_read(65536))
    raise AssertionError("the handshake has no end")


labels = st.sampled_from(["a", "b", "xn--a", "xn--mnchen-3ya", "A", "-a", "a-", "a--b"])
tops = st.sampled_from(["test", "TEST", "peer.test", "b.test", "xn--p1ai"])
hosts = st.builds("{}.{}".format, labels, tops) | labels.filter(str.isalpha)
entries = (
    hosts
    | st.builds("*.{}".format, hosts)
    | st.builds(
        "{}{}{}".format, labels, st.sampled_from(["*.", ".*", "*", "*.*."]), tops
    )
    | st.builds(
        "{}{}".format, hosts, st.sampled_from([" ", "\n", "\0", ".", "\0.test"])
    )
    | st.builds("{}{}".format, st.sampled_from([" ", "\n", ".", "*"]), hosts)
    | st.sampled_from(
        ["", "*", "*.", "*.*", "192.0.2.1", "[192.0.2.1]", "[2001:db8::1]"]
    )
)
names = hosts | st.sampled_from(["192.0.2.1", "2001:db8::1", "192.0.2.2"])


@given(shown=st.lists(entries, min_size=1, max_size=3), name=names)
@settings(max_examples=300)
def test_as_openssl(shown: list[str], name: str) -> None:
    """Whatever a certificate names, OpenSSL takes it for the same names as we do."""
    made = issued(*shown)
    x509_shown = crypto.X509.from_cryptography(made.certificate)
    assert (check_name(x509_shown, name) is None) == openssl_accepts(made, name)


@pytest.mark.parametrize(
    "odd", ["", "*", " peer.test", "peer.test\n", "192.0.2.1", "a\0"]
)
def test_as_openssl_with_an_odd_entry(odd: str) -> None:
    """OpenSSL, too, takes the entries beside one that is no name."""
    for entries, name, is_good in [
        (["peer.test", odd], "peer.test", True),
        ([odd, "*.peer.test"], "xn--mnchen-3ya.peer.test", True),
        ([odd, "other.test"], "peer.test", False),
        ([odd], "peer.test", False),
        ([odd], "192.0.2.1", False),
    ]:
        made = issued(*entries)
        shown = crypto.X509.from_cryptography(made.certificate)
        assert openssl_accepts(made, name) is is_good
        assert (check_name(shown, name) is None) is is_good
