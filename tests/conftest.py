"""Settings of the whole suite."""

from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

# What Hypothesis remembers of a run goes with it: no file is left behind.
_home = TemporaryDirectory(prefix="hypothesis-")
set_hypothesis_home_dir(_home.name)

# Machines are shared: how long one example takes says nothing.
settings.register_profile("shared", deadline=None, database=None)
settings.load_profile("shared")
