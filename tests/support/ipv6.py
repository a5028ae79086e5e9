"""Tests over IPv6, which not every machine has: a container often has none."""

import socket

import pytest


def skip_without(host: str) -> None:
    """Skip the test where `host` is an address of IPv6 that this machine lacks."""
    if ":" not in host:
        return
    with socket.socket(socket.AF_INET6) as own:
        try:
            own.bind((host, 0))
        except OSError as problem:
            pytest.skip(f"this machine does not have {host}: {problem}")
