"""Tests against somebody else's server: Synapse, as a real process beside ours."""
