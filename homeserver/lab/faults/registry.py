"""All faults by name.

Rules: the first ones wrap the later ones, so faults of HTTP change what the others
have made of an answer; among them those that do no work come last.
"""

from collections.abc import Mapping

from homeserver.lab.faults.connections import CONNECTION_FAULTS, ConnectionAct
from homeserver.lab.faults.documents import KEY_FAULTS
from homeserver.lab.faults.fault import Act, Fault
from homeserver.lab.faults.history import HISTORY_FAULTS
from homeserver.lab.faults.http import HTTP_FAULTS
from homeserver.lab.faults.invites import INVITE_FAULTS
from homeserver.lab.faults.joins import SEND_JOIN_FAULTS
from homeserver.lab.faults.names import NAME_FAULTS
from homeserver.lab.faults.notary import NOTARY_FAULTS
from homeserver.lab.faults.policy import POLICY_FAULTS
from homeserver.lab.faults.states import STATE_FAULTS
from homeserver.lab.faults.templates import TEMPLATE_FAULTS
from homeserver.lab.faults.tls import TLS_FAULTS
from homeserver.lab.faults.transactions import FEDERATION_FAULTS
from homeserver.lab.faults.vary import VARY_FAULTS
from homeserver.lab.faults.well_known import WELL_KNOWN_FAULTS

ANSWER_FAULTS: Mapping[str, Fault[Act]] = {
    **VARY_FAULTS,
    **HTTP_FAULTS,
    **WELL_KNOWN_FAULTS,
    **KEY_FAULTS,
    **NOTARY_FAULTS,
    **FEDERATION_FAULTS,
    **POLICY_FAULTS,
    **TEMPLATE_FAULTS,
    **SEND_JOIN_FAULTS,
    **HISTORY_FAULTS,
    **STATE_FAULTS,
    **INVITE_FAULTS,
}
"""Those of requests, in the order in which they act."""

ARRIVAL_FAULTS: Mapping[str, Fault[ConnectionAct]] = {**CONNECTION_FAULTS, **TLS_FAULTS}
"""Those of connections that come in; all of a rule act together."""

FAULTS: Mapping[str, Fault[object]] = {
    **NAME_FAULTS,
    **ARRIVAL_FAULTS,
    **ANSWER_FAULTS,
}
"""By the names that rules use."""
