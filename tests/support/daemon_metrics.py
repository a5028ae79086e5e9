"""What a daemon has measured, by its control API."""

import http.client
import re
from collections.abc import Mapping

from scripts.processes import Endpoint
from tests.support.eventually import HANGING_SECONDS
from tests.support.metric_series import series


def ask(endpoint: Endpoint, target: str) -> tuple[int, bytes]:
    """GET from the control API of an endpoint, with its token."""
    text = endpoint.configuration.read_text("utf-8")
    _, control = re.findall(r'^listen = "(.*)"$', text, re.MULTILINE)
    token = (endpoint.folder / "control.token").read_text("utf-8").strip()
    connection = http.client.HTTPConnection(control, timeout=HANGING_SECONDS)
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    status, body = response.status, response.read()
    connection.close()
    return status, body


def metrics(endpoint: Endpoint) -> Mapping[str, float]:
    """What an endpoint has measured, as far as it is not 0."""
    status, body = ask(endpoint, "/metrics")
    assert status == 200
    return {name: value for name, value in series(body).items() if value}
