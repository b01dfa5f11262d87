"""A model of some size goes into a bundle over a line that breaks; `make campaign` has the long form."""

import pytest

from tests.large import carry
from tests.real import scratch

PEAK_BYTES = 300_000_000
"""What the bundler may hold in memory, however large a model is."""


@pytest.mark.slow
def test_a_killed_build_over_a_bad_line_goes_on_where_it_stopped() -> None:
    with scratch("large") as folder:
        passage = carry(folder, 200_000_000)
    assert passage.killed_at_bytes < passage.model_bytes
    assert passage.resumed >= 4
    assert passage.peak_bytes <= PEAK_BYTES
