"""The C library's allocator, set up for training on the CPU."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def tune_allocator() -> bool:
    """Keep freed memory in the process instead of handing it back to the system; True where that worked.

    Activations are some megabytes each; by default the C library maps and zeroes their pages anew at every use, which
    takes longer than most operators on them. Works on Linux with glibc, and for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
