"""Settings of the whole suite."""

from hypothesis import settings

# Machines are shared: how long one example takes says nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
