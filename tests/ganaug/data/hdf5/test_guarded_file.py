"""HDF5 on a disk that takes no more, and stopped in the midst of a write: an error, never the end of the process."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")

FILL = """
import errno, resource, sys
from pathlib import Path
import numpy as np
from ganaug.data.hdf5.attributes import NOTES
from ganaug.data.hdf5.guarded_file import writing_hdf5
from ganaug.data.hdf5.image_writer import ImageWriter

images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
path = Path(sys.argv[1]) / "a.h5"

def write():
    with writing_hdf5(path) as (file, guarded):
        writer = ImageWriter(file, guarded, 16, masks=True)
        for start in range(0, 40, 8):
            writer.append(images[start:start + 8], images[start:start + 8, ..., 0])
        writer.append_stained(0, images)
        writer.keep(np.arange(40)[::-2])
        with guarded.in_use():
            file["ids"] = [f"image {number}" * 50 for number in range(40)]
            file.attrs[NOTES] = "x" * 30000
    return path.stat().st_size

size, failed = write(), 0
sizes = [0, 1, 47, 96, 97, 512, *range(800, size, 1777), size - 1]
for limit in sizes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write()
    except OSError as error:
        assert error.errno == errno.EFBIG, error
        failed += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert write() == size
print(len(sizes), failed)
"""

STOP = """
import signal, sys, time
from pathlib import Path
import h5py, numpy as np
from ganaug.data.hdf5.guarded_file import writing_hdf5
from ganaug.data.hdf5.image_writer import ImageWriter

path, stopped = Path(sys.argv[1]) / "a.h5", 0
images = np.zeros((32, 32, 32, 3), np.uint8)
for delay in np.linspace(0.0005, 0.02, 60):
    try:
        with writing_hdf5(path) as (file, guarded):
            writer = ImageWriter(file, guarded, 32, masks=False)
            signal.setitimer(signal.ITIMER_REAL, delay)
            for _ in range(1000):
                writer.append(images)
    except KeyboardInterrupt:
        stopped += 1
        with h5py.File(path) as file:  # it was closed as it should be
            assert len(file["images"]) % 32 == 0
print(stopped)
"""


def output_of(script: str, folder: Path, *, first: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", first + script, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert done.stderr == ""
    return done.stdout.strip()


def test_wherever_the_room_ends_the_error_is_that_of_the_system(tmp_path: Path) -> None:
    tried, failed = map(int, output_of(FILL, tmp_path).split())
    assert tried == failed > 30


def test_whenever_it_is_stopped_the_file_is_closed_as_it_should_be(tmp_path: Path) -> None:
    alarm = "import signal; signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))\n"
    assert int(output_of(STOP, tmp_path, first=alarm)) == 60
