#!/usr/bin/env bash
# Every check and every test, in an environment that it makes. Options are passed on to pytest.
source "$(dirname "$0")/environment.sh" "[test]"
scripts/check.sh
# One more than there are cores, as some tests wait for processes, jobs and pages; before the next line, which nproc
# would take for the answer.
workers="$(($(nproc) + 1))"
# One thread a process: the tests run in parallel, and more threads would only wait for each other.
export OMP_NUM_THREADS=1
# Each worker begins with a stretch of the tests of its own, so that what a file prepares is mostly prepared once.
python -m pytest -n "$workers" --dist worksteal "$@"
