"""Tests of the checks of other servers: against ours, whole and with one fault."""
