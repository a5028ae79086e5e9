"""What a monitor reads, as values by the names of their series."""

from collections.abc import Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def families(text: bytes) -> list[Metric]:
    """The metrics of an exposition."""
    return list(text_string_to_metric_families(text.decode("utf-8")))


def series(text: bytes) -> Mapping[str, float]:
    """The values of an exposition, as in `{'a_total{b="c"}': 1.0}`."""
    found: dict[str, float] = {}
    for family in families(text):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sample.labels.items())
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found
            found[name] = sample.value
    return found
