"""The tuned allocator keeps memory: large blocks that come and go cost no new pages."""

import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource
from ganaug.train.allocator import tune_allocator
if {tuned}:
    assert tune_allocator()
for round in range(21):
    block = bytearray(32 * 2**20)
    block[:] = b"x" * len(block)
    del block
    if round == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(tuned: bool) -> int:
    script = COUNT_FAULTS.format(tuned=tuned)
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is tuned on Linux only")
def test_large_blocks_are_reused() -> None:
    assert faults(tuned=True) * 3 < faults(tuned=False)
