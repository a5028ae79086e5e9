"""Discovery over real sockets: each worked case leads where it should.

What name servers, websites and peers can do wrong is in the modules beside this one.
"""

import pytest

from tests.support.discovery_cases import CASES, HOSTS, Case
from tests.support.ipv6 import skip_without
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import (
    SERVICES,
    SERVICES_2014,
    certify,
    discovering,
    tell,
)
from tests.support.recording_peers import http
from tests.support.tls_servers import WELL_KNOWN, TlsServer, delegation, listening

KEYS = "/_matrix/key/v2/server"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_worked_case(case: Case) -> None:
    """A request takes the steps of the specification, and reaches its server.

    Nothing is looked up but what the steps name, and nobody else is connected to.
    """
    skip_without(case.listens_on)
    host, port, host_header, certificate_name = case.route
    right = TlsServer(certify(certificate_name), host=case.listens_on)
    wrong = TlsServer(certify("a.test", "b.test", "s.test"))
    website = TlsServer(wrong.issued, otherwise=http(b"", "404 Not Found"))
    server = NameServer(*HOSTS)
    with serving(server), listening(right, wrong, website):

        def fill(text: str) -> str:
            return text.format(p=right.port, q=wrong.port)

        server.serve(*map(fill, case.zone))
        for source, target in case.documents.items():
            website.pages[source + WELL_KNOWN] = delegation(fill(target))
        default = right if port == "8448" else wrong
        with discovering(
            server,
            {443: website.port, 8448: default.port},
            well_known=not case.is_2014,
            services=SERVICES_2014 if case.is_2014 else SERVICES,
        ) as reach:
            steps = reach.resolve(fill(case.name)).steps
            route = reach.ask(fill(case.name), KEYS).route
    assert tell(steps) == list(map(fill, case.steps))
    assert (route.host, str(route.port), route.host_header, route.certificate_name) == (
        host,
        fill(port),
        fill(host_header),
        certificate_name,
    )
    assert right.requests == [f"GET {fill(host_header)}{KEYS}"]
    is_address = certificate_name in {"127.0.0.1", "::1"}
    assert right.server_names == [None if is_address else certificate_name]
    assert wrong.conversations == []
    assert [f"https://{each[4:]}" for each in website.requests] == [
        step.asked for step in steps if step.step == "well-known"
    ]
    assert [each for each in server.asked if each.startswith("SRV")] == [
        f"SRV {step.asked}" for step in steps if step.step == "srv"
    ]
