"""The memory that is left."""

import sys

import pytest

from unlearn_bench.core.memory import available_memory


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_what_is_available_is_part_of_the_machine() -> None:
    available = available_memory()
    assert available is not None and 2**24 < available < 2**50
