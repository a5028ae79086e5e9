"""The worked cases of discovery: what there is, which steps are taken, what is found.

`{p}` stands for the port of the server that should be reached, `{q}` for that of one
that should not. There are `a.test`, `b.test` and `s.test`, all at 127.0.0.1.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HOSTS = [f"{name}.test A 127.0.0.1" for name in "abs"]

A = "well-known: https://a.test/.well-known/matrix/server: "
NOBODY = A + "no delegation: status 404"
FED_A, OLD_A = "srv: _matrix-fed._tcp.a.test: ", "srv: _matrix._tcp.a.test: "
FED_B, OLD_B = "srv: _matrix-fed._tcp.b.test: ", "srv: _matrix._tcp.b.test: "
NO = "no such record"


@dataclass(frozen=True)
class Case:
    """What there is, and what should come of it."""

    name: str
    steps: Sequence[str]
    route: tuple[str, str, str, str]
    """The host, the port, what `Host` says, and the certificate's name."""

    zone: Sequence[str] = ()
    documents: Mapping[str, str] = field(default_factory=dict)
    """The names that websites delegate to, by host; others have no document."""

    listens_on: str = "127.0.0.1"
    is_2014: bool = False


CASES = {
    "an address": Case(
        "127.0.0.1",
        ["literal: 127.0.0.1: connect to 127.0.0.1:8448"],
        ("127.0.0.1", "8448", "127.0.0.1", "127.0.0.1"),
    ),
    "an address and a port": Case(
        "127.0.0.1:{p}",
        ["literal: 127.0.0.1:{p}: connect to 127.0.0.1:{p}"],
        ("127.0.0.1", "{p}", "127.0.0.1:{p}", "127.0.0.1"),
    ),
    "an IPv6 address": Case(
        "[::1]",
        ["literal: [::1]: connect to [::1]:8448"],
        ("::1", "8448", "[::1]", "::1"),
        listens_on="::1",
    ),
    "an IPv6 address and a port": Case(
        "[::1]:{p}",
        ["literal: [::1]:{p}: connect to [::1]:{p}"],
        ("::1", "{p}", "[::1]:{p}", "::1"),
        listens_on="::1",
    ),
    "a name with a port, a document and records": Case(
        "a.test:{p}",
        ["port: a.test:{p}: connect to a.test:{p}"],
        ("a.test", "{p}", "a.test:{p}", "a.test"),
        ["_matrix-fed._tcp.a.test SRV 0 0 {q} s.test"],
        {"a.test": "b.test:{q}"},
    ),
    "delegation to an address": Case(
        "a.test",
        [A + "delegates to 127.0.0.1", "literal: 127.0.0.1: connect to 127.0.0.1:8448"],
        ("127.0.0.1", "8448", "127.0.0.1", "127.0.0.1"),
        documents={"a.test": "127.0.0.1"},
    ),
    "delegation to an IPv6 address and a port": Case(
        "a.test",
        [A + "delegates to [::1]:{p}", "literal: [::1]:{p}: connect to [::1]:{p}"],
        ("::1", "{p}", "[::1]:{p}", "::1"),
        documents={"a.test": "[::1]:{p}"},
        listens_on="::1",
    ),
    "delegation to a name and a port": Case(
        "a.test",
        [A + "delegates to b.test:{p}", "port: b.test:{p}: connect to b.test:{p}"],
        ("b.test", "{p}", "b.test:{p}", "b.test"),
        ["_matrix-fed._tcp.b.test SRV 0 0 {q} s.test"],
        {"a.test": "b.test:{p}"},
    ),
    "delegation to a name with records": Case(
        "a.test",
        [A + "delegates to b.test", FED_B + "0 0 {p} s.test"],
        ("s.test", "{p}", "b.test", "b.test"),
        [
            "_matrix-fed._tcp.b.test SRV 0 0 {p} s.test",
            "_matrix-fed._tcp.a.test SRV 0 0 {q} s.test",
            "_matrix._tcp.b.test SRV 0 0 {q} s.test",
        ],
        {"a.test": "b.test"},
    ),
    "delegation to a name with the old records": Case(
        "a.test",
        [A + "delegates to b.test", FED_B + NO, OLD_B + "0 0 {p} s.test"],
        ("s.test", "{p}", "b.test", "b.test"),
        ["_matrix._tcp.b.test SRV 0 0 {p} s.test"],
        {"a.test": "b.test"},
    ),
    "delegation to a name that delegates": Case(
        "a.test",
        [
            A + "delegates to b.test",
            FED_B + NO,
            OLD_B + NO,
            "fallback: b.test: connect to b.test:8448",
        ],
        ("b.test", "8448", "b.test", "b.test"),
        ["_matrix._tcp.a.test SRV 0 0 {q} s.test"],
        {"a.test": "b.test", "b.test": "s.test:{q}"},
    ),
    "both kinds of records": Case(
        "a.test",
        [NOBODY, FED_A + "0 0 {p} s.test"],
        ("s.test", "{p}", "a.test", "a.test"),
        [
            "_matrix-fed._tcp.a.test SRV 0 0 {p} s.test",
            "_matrix._tcp.a.test SRV 0 0 {q} s.test",
        ],
    ),
    "the old records": Case(
        "a.test",
        [NOBODY, FED_A + NO, OLD_A + "0 0 {p} s.test"],
        ("s.test", "{p}", "a.test", "a.test"),
        ["_matrix._tcp.a.test SRV 0 0 {p} s.test"],
    ),
    "nothing": Case(
        "a.test",
        [NOBODY, FED_A + NO, OLD_A + NO, "fallback: a.test: connect to a.test:8448"],
        ("a.test", "8448", "a.test", "a.test"),
    ),
    "a host that is an alias": Case(
        "A.test:{p}",
        ["port: A.test:{p}: connect to A.test:{p}"],
        ("A.test", "{p}", "A.test:{p}", "A.test"),
        ["a.test CNAME c.test", "c.test CNAME s.test"],
    ),
    "a target that is an alias": Case(
        "a.test",
        [NOBODY, FED_A + "0 0 {p} c.test"],
        ("c.test", "{p}", "a.test", "a.test"),
        ["_matrix-fed._tcp.a.test SRV 0 0 {p} c.test", "c.test CNAME s.test"],
    ),
    "a target with IPv6": Case(
        "a.test",
        [NOBODY, FED_A + "0 0 {p} six.test"],
        ("six.test", "{p}", "a.test", "a.test"),
        ["_matrix-fed._tcp.a.test SRV 0 0 {p} six.test", "six.test AAAA ::1"],
        listens_on="::1",
    ),
    "2014: a port": Case(
        "a.test:{p}",
        ["port: a.test:{p}: connect to a.test:{p}"],
        ("a.test", "{p}", "a.test:{p}", "a.test"),
        ["_matrix._tcp.a.test SRV 0 0 {q} s.test"],
        is_2014=True,
    ),
    "2014: records": Case(
        "a.test",
        [OLD_A + "0 0 {p} s.test"],
        ("s.test", "{p}", "a.test", "a.test"),
        [
            "_matrix-fed._tcp.a.test SRV 0 0 {q} s.test",
            "_matrix._tcp.a.test SRV 0 0 {p} s.test",
        ],
        {"a.test": "b.test:{q}"},
        is_2014=True,
    ),
    "2014: nothing": Case(
        "a.test",
        [OLD_A + NO, "fallback: a.test: connect to a.test:8448"],
        ("a.test", "8448", "a.test", "a.test"),
        is_2014=True,
    ),
}
