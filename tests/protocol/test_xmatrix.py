"""The grammar of an X-Matrix header.

Rules: every form that the grammar allows is read; any other text is refused with its
place, and without a secret that stands in it.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.errors import BadAuthorization, ProtocolError
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.xmatrix import MAX_HEADER_LENGTH, Authorization
from tests.support.tables import cases

# 64 zero bytes are written as 86 times `A`, which is a token and needs no quotes.
SIG = "A" * 86
FULL = f'origin="a.org",key="ed25519:1",sig="{SIG}"'


def authorization(
    origin: str = "a.org", destination: str | None = None, signature: bytes = bytes(64)
) -> Authorization:
    """What a header with the key `ed25519:1` says."""
    return Authorization(
        ServerName.parse(origin),
        None if destination is None else ServerName.parse(destination),
        KeyId("ed25519:1"),
        signature,
    )


GOOD_HEADERS: list[tuple[str, str, Authorization]] = [
    ("quoted", f"X-Matrix {FULL}", authorization()),
    ("unquoted", f"X-Matrix origin=a.org,key=ed25519:1,sig={SIG}", authorization()),
    (
        "quoted and unquoted",
        f'X-Matrix origin=a.org,key="ed25519:1",sig="{SIG}"',
        authorization(),
    ),
    (
        "unquoted colon",
        f"X-Matrix origin=a.org:8448,key=ed25519:1,sig={SIG}",
        authorization("a.org:8448"),
    ),
    (
        "sig with slashes",
        f'X-Matrix origin=a.org,key=ed25519:1,sig="{"/" * 85}w"',
        authorization(signature=b"\xff" * 64),
    ),
    (
        "padded sig",
        f'X-Matrix origin=a.org,key=ed25519:1,sig="{SIG}=="',
        authorization(),
    ),
    (
        "spaces, tabs, case, unknown name",
        f'X-Matrix  ORIGIN="a.org" ,\tKey="ed25519:1", Sig="{SIG}",x="y"',
        authorization(),
    ),
    ("lower-case scheme", f"x-matrix {FULL}", authorization()),
    ("many spaces after the scheme", f"X-Matrix     {FULL}", authorization()),
    ("blanks at the end", f"X-Matrix {FULL} \t", authorization()),
    (
        "tabs on both sides of a comma",
        f"X-Matrix origin=a.org\t\t,\t \tkey=ed25519:1 , sig={SIG}",
        authorization(),
    ),
    (
        "other order",
        f"X-Matrix sig={SIG},destination=b.org,key=ed25519:1,origin=a.org",
        authorization(destination="b.org"),
    ),
    (
        "escaped dot",
        rf'X-Matrix origin="a\.org",key="ed25519:1",sig="{SIG}"',
        authorization(),
    ),
    (
        "every character escaped",
        rf'X-Matrix origin="\a\.\o\r\g",key="ed25519:1",sig="{SIG}"',
        authorization(),
    ),
    (
        "comma, quote and equals sign in a quoted string",
        rf'X-Matrix x="a,\"b\"=c\\",{FULL}',
        authorization(),
    ),
    ("empty quoted string", f'X-Matrix x="",{FULL}', authorization()),
    ("every token character", f"X-Matrix !#$%&'*+.^_`|~-9=!#$,{FULL}", authorization()),
    (
        "IPv6",
        f'X-Matrix origin="[::1]:8448",key="ed25519:1",sig="{SIG}"',
        authorization("[::1]:8448"),
    ),
    (
        "unquoted brackets",
        f"X-Matrix origin=[::1]:8448,destination=[::2],key=ed25519:1,sig={SIG}",
        authorization("[::1]:8448", "[::2]"),
    ),
    (
        "blanks round equals signs",
        f'X-Matrix origin = a.org,key\t=\t"ed25519:1",sig= {SIG},x ="y"',
        authorization(),
    ),
    ("empty element at the start", f"X-Matrix ,{FULL}", authorization()),
    ("empty element at the end", f"X-Matrix {FULL},", authorization()),
    (
        "empty elements between",
        f"X-Matrix , ,\t,origin=a.org,,key=ed25519:1 , ,\t, sig={SIG} ,, ",
        authorization(),
    ),
    (
        "destination",
        f'X-Matrix origin="a.org",destination="b.org:1",key="ed25519:1",sig="{SIG}"',
        authorization(destination="b.org:1"),
    ),
    (
        "longest",
        f'X-Matrix {FULL},x="'.ljust(MAX_HEADER_LENGTH - 1, "x") + '"',
        authorization(),
    ),
]


@cases("header expected", GOOD_HEADERS)
def test_parse(header: str, expected: Authorization) -> None:
    """A header is read in every form that the grammar allows."""
    assert Authorization.parse(header) == expected


BAD_HEADERS: list[tuple[str, str, str]] = [
    ("empty", "", "is not X-Matrix"),
    ("scheme alone", "X-Matrix", "is not X-Matrix"),
    ("scheme and a space", "X-Matrix ", "has no origin, key, sig$"),
    ("empty elements alone", "X-Matrix ,, ,", "has no origin, key, sig$"),
    ("scheme and a tab", f"X-Matrix\t{FULL}", "is not X-Matrix"),
    ("no space after the scheme", f"X-Matrix{FULL}", "is not X-Matrix"),
    ("space before the scheme", f" X-Matrix {FULL}", "is not X-Matrix"),
    ("other scheme", "Bearer abc", "is not X-Matrix"),
    ("longer scheme", f"X-Matrixx {FULL}", "is not X-Matrix"),
    ("dotless i in the scheme", f"X-Matr\u0131x {FULL}", "is not X-Matrix"),
    (
        "too long",
        f'X-Matrix {FULL},x="'.ljust(MAX_HEADER_LENGTH, "x") + '"',
        "longer than 2048",
    ),
    ("no origin", f"X-Matrix key=ed25519:1,sig={SIG}", "has no origin$"),
    ("no key", f"X-Matrix origin=a.org,sig={SIG}", "has no key$"),
    ("no sig", "X-Matrix origin=a.org,key=ed25519:1", "has no sig$"),
    ("only unknown names", "X-Matrix x=y", "has no origin, key, sig$"),
    (
        "signature for sig",
        f"X-Matrix origin=a.org,key=ed25519:1,signature={SIG}",
        "has no sig$",
    ),
    ("origin twice", f"X-Matrix origin=a.org,{FULL}", "has 'origin' twice"),
    ("origin twice, other case", f"X-Matrix {FULL},ORIGIN=b.org", "'origin' twice"),
    ("unknown name twice", f"X-Matrix x=1,x=1,{FULL}", "has 'x' twice"),
    ("unterminated quote", f'X-Matrix {FULL},x="y', "is not a list of name=value"),
    ("quote ends escaped", rf'X-Matrix {FULL},x="\"', "is not a list of name=value"),
    ("no value", f"X-Matrix x=,{FULL}", "is not a list of name=value"),
    ("no equals sign", f"X-Matrix x,{FULL}", "is not a list of name=value"),
    ("no name", f"X-Matrix =x,{FULL}", "is not a list of name=value"),
    ("line feed round the equals sign", f"X-Matrix x=\ny,{FULL}", "is not a list"),
    ("blank in a name", f"X-Matrix x y=z,{FULL}", "is not a list"),
    ("blank in a value", f"X-Matrix x=y z,{FULL}", "has no comma after 'x'"),
    ("two equals signs", f"X-Matrix x==y,{FULL}", "is not a list of name=value"),
    ("semicolon", f"X-Matrix x=y;{FULL}", "has no comma after 'x'"),
    ("no comma", f"X-Matrix x=y {FULL}", "has no comma after 'x'"),
    ("no comma after a quote", f'X-Matrix x="y"{FULL}', "has no comma after 'x'"),
    ("line feed", f"X-Matrix {FULL}\n", "has no comma after 'sig'"),
    (
        "unquoted slash",
        f"X-Matrix origin=a.org,key=ed25519:1,sig={'/' * 86}",
        "is not a list of name=value",
    ),
    ("brackets in a name", f"X-Matrix [x]=y,{FULL}", "is not a list"),
    (
        "no IPv6 address in unquoted brackets",
        f"X-Matrix origin=[a.org],key=ed25519:1,sig={SIG}",
        "no IPv6 address in its brackets",
    ),
    ("letter not of ASCII", f"X-Matrix origin=\u00e9.org,{FULL}", "is not a list"),
    (
        "origin with a bad port",
        f'X-Matrix origin="a.org:http",key="ed25519:1",sig="{SIG}"',
        "not a server name",
    ),
    (
        "empty origin",
        f'X-Matrix origin="",key="ed25519:1",sig="{SIG}"',
        "not a server name",
    ),
    (
        "origin with an escaped quote",
        rf'X-Matrix origin="a\"org",key="ed25519:1",sig="{SIG}"',
        "not a server name",
    ),
    ("bad destination", f'X-Matrix {FULL},destination="b_c"', "not a server name"),
    (
        "unknown algorithm",
        f'X-Matrix origin="a.org",key="rsa:1",sig="{SIG}"',
        "not a key ID",
    ),
    (
        "key without a version",
        f'X-Matrix origin="a.org",key="ed25519:",sig="{SIG}"',
        "not a key ID",
    ),
    (
        "sig of 63 bytes",
        f'X-Matrix origin="a.org",key="ed25519:1",sig="{"A" * 84}"',
        "sig has 63 bytes; ed25519 signatures have 64",
    ),
    (
        "sig of 65 bytes",
        f'X-Matrix origin="a.org",key="ed25519:1",sig="{"A" * 87}"',
        "sig has 65 bytes; ed25519 signatures have 64",
    ),
    (
        "empty sig",
        'X-Matrix origin="a.org",key="ed25519:1",sig=""',
        "sig has 0 bytes; ed25519 signatures have 64",
    ),
    (
        "sig that is not base64",
        f'X-Matrix origin="a.org",key="ed25519:1",sig="!{SIG}"',
        "not base64",
    ),
]


@cases("header why", BAD_HEADERS)
def test_parse_refuses(header: str, why: str) -> None:
    """A header that breaks the grammar is refused, and the error says where."""
    with pytest.raises(BadAuthorization, match=why):
        Authorization.parse(header)


def test_the_error_tells_the_place() -> None:
    """A header that breaks off is refused with where it does."""
    with pytest.raises(BadAuthorization, match=r"at its character 13, counted from 0$"):
        Authorization.parse("X-Matrix x=y," + "?" * 50)


@pytest.mark.parametrize("header", ["Bearer secret", "secret", "X-Matrix x=y,secret"])
def test_the_error_does_not_repeat_a_secret(header: str) -> None:
    """What is no X-Matrix may be a token of something else, and is not shown."""
    with pytest.raises(BadAuthorization) as caught:
        Authorization.parse(header)
    assert "secret" not in str(caught.value)


def test_a_bad_header_is_answered_with_400() -> None:
    """A malformed header means status 400 and errcode M_UNAUTHORIZED."""
    with pytest.raises(ProtocolError) as caught:
        Authorization.parse("X-Matrix origin=a.org:http")
    assert (caught.value.status, caught.value.errcode) == (400, "M_UNAUTHORIZED")


def test_str_leaves_out_an_absent_destination() -> None:
    """An authorization without a destination is written without that parameter."""
    assert str(authorization()) == f"X-Matrix {FULL}"


hosts = st.one_of(
    st.from_regex(
        r"[a-z][a-zA-Z0-9-]{0,9}(\.[a-z][a-z0-9-]{0,9}){0,3}", fullmatch=True
    ),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
ports = st.just("") | st.integers(1, 65535).map(lambda port: f":{port}")
server_names = st.builds(lambda host, port: ServerName.parse(host + port), hosts, ports)
authorizations = st.builds(
    Authorization,
    server_names,
    st.none() | server_names,
    st.from_regex(r"ed25519:[a-zA-Z0-9_]{1,9}", fullmatch=True).map(KeyId),
    st.binary(min_size=64, max_size=64),
)


@given(original=authorizations)
@settings(deadline=None)
def test_parse_of_str_is_the_same(original: Authorization) -> None:
    """An authorization that is written and read again is the same."""
    assert Authorization.parse(str(original)) == original


@given(original=authorizations, data=st.data())
@settings(deadline=None)
def test_order_and_case_do_not_matter(
    original: Authorization, data: st.DataObject
) -> None:
    """Parameters are read the same in any order and case."""
    parameters = str(original).removeprefix("X-Matrix ").split(",")
    shuffled = data.draw(st.permutations(parameters))
    raised = [
        f"{name.upper()}={value}"
        for name, _, value in (parameter.partition("=") for parameter in shuffled)
    ]
    assert Authorization.parse("X-MATRIX " + "\t, ".join(raised)) == original


fragments = st.sampled_from(
    [
        *["origin", "destination", "key", "sig", "x"],
        *["=", ",", '"', "\\", ":", " ", "\t", "\n", "\0"],
        *["a.org", "[::1]", "ed25519:1", "é", "\ud800", SIG],
    ]
)
headers = st.one_of(
    st.text(st.characters()),
    st.lists(fragments).map(lambda parts: "X-Matrix " + "".join(parts)),
)


@given(header=headers)
@settings(deadline=None)
def test_parse_raises_nothing_but_protocol_errors(header: str) -> None:
    """Any text is either read or refused with a ProtocolError."""
    try:
        parsed = Authorization.parse(header)
    except ProtocolError as error:
        assert error.status == 400
    else:
        assert Authorization.parse(str(parsed)) == parsed
