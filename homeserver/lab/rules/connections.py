"""The rules of a lab for a connection that comes in.

Rules: as those of `rules`. All faults of the rules that act are one plan; where two
contradict each other, the one that is named first counts.
"""

from homeserver.lab.faults.connections import Plan
from homeserver.lab.faults.registry import ARRIVAL_FAULTS
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchange import Exchange


def plan_of(rules: Rules, exchange: Exchange) -> Plan:
    """What is to be done with a connection; counts the rules that match."""
    plan = Plan()
    for rule in reversed(rules.taking(exchange)):
        for name, argument in reversed(list(rule.faults.items())):
            if name in ARRIVAL_FAULTS:
                ARRIVAL_FAULTS[name].act(argument, plan)
    return plan
