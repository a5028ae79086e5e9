"""How many examples a fuzzing test tries, and the randomness that it has."""

import os

from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))

INPUTS = 10  # of each example, which costs as much as several of them

fuzzed = settings(max_examples=EXAMPLES, deadline=None, database=None)
randoms = st.randoms(use_true_random=True)  # with a seed that a failure shows
