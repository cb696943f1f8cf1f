"""Every command that writes, on a disk that takes no more: one line, status 2, and what was there before is intact."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")

CHILD = """
import hashlib, json, os, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from click.testing import CliRunner
from ganaug import presets
from ganaug.cli.main import main
from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PhantomConfig, StudyConfig
from ganaug.evaluate.extractors import trained_classifier

torch.set_num_threads(1)
phantom = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0)
network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
study = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=2, batch=4, num_resamples=100)
presets.phantom = lambda preset: (phantom, FoldsConfig(num_folds=3))
presets.gan = lambda *_: GanConfig(network, 0.016, batch=8, pl_weight=0.0, state_kimg=0.008, extractor="none")
presets.study = lambda preset: study
trained_classifier.FIT = replace(trained_classifier.FIT, num_steps=2, batch=8)
root, pickled = Path(sys.argv[1]), sys.argv[2]
os.environ |= {"GANAUG_WORKSPACE": str(root / "workspace"), "CUDA_VISIBLE_DEVICES": ""}

def ganaug(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])

def content():
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

fold = ("--fold", 2)
synthesize, out = ("synthesize", "--per-class"), ("--out", root)
data = root / "workspace" / "datasets" / "phantom.h5"
ways = {  # each once as it makes its files, and then as it would replace them or add to them
    "prepare": [("prepare", "--dataset", "phantom", "--resolution", 16)] * 2,
    "train-gan": [("train-gan", *fold), ("train-gan", *fold, "--kimg", 0.032)],
    "synthesize": [(*synthesize, 8), (*synthesize, 9)],
    "synthesize png": [(*synthesize, 8, "--seed", 1), (*synthesize, 8, "--seed", 1, "--format", "png", *out)],
    "synthesize zip": [(*synthesize, 9, "--format", "zip", *out), (*synthesize, 9, "--format", "zip", *out)],
    "strips": [("strips",), ("strips",)],
    "evaluate-gan": [("inspect", data), ("evaluate-gan", *fold, "--extractor", "classifier")],
    "evaluate-augmentation": [("evaluate-augmentation", *fold, "--workers", 1, "--seed", seed) for seed in (0, 1)],
    "reader-study": [("reader-study", *fold, "--per-class", 2, "--out", root / "page.html")] * 2,
    "export": [("export", data, "--zip", root / "data.zip")] * 2,
    "export-gan": [("export-gan", "GENERATOR", "--out", root / "gan.safetensors")] * 2,
    "import-gan": [("import-gan", pickled, "--out", root / "peer.safetensors")] * 2,
    "inspect --sheet": [("inspect", data, "--sheet", root / "sheet.png")] * 2,
}
rows = []
for name, (first, second) in ways.items():
    generators = list((root / "workspace" / "gans").glob("*"))
    first, second = ([generators[0].name if one == "GENERATOR" else one for one in way] for way in (first, second))
    made = ganaug(*first)
    assert made.exit_code == 0, (name, made.stderr, made.exception)
    before = content()
    for size in (0, 300 if name.endswith("png") else 2000):
        limit(size)
        result = ganaug(*second)
        limit(resource.RLIM_INFINITY)
        now = content()
        lost = [p for p in before if now.get(p) != before[p] and not p.endswith("trainer.json")]  # it says who trains
        parts = [path.name for path in root.rglob("*.part")]
        rows.append([name, size, result.exit_code, result.stderr.strip().splitlines(), lost, parts])
print(json.dumps(rows))
"""


def test_every_command_survives_a_disk_that_takes_no_more(tmp_path: Path, peer) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "files").mkdir()
    command = [sys.executable, "-c", CHILD, str(tmp_path / "files"), str(peer.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]  # HDF5 would end the whole process by a signal
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 26
    for name, size, status, lines, lost, parts in rows:
        about = (name, size, lines)
        assert status == 2, about
        assert lines[-1].startswith("ganaug: the disk is full: "), about
        assert sum(line.startswith("ganaug: ") and "note: " not in line for line in lines) == 1, about
        assert not any("Traceback" in line for line in lines), about
        assert lost == [], about
        assert parts == [], about
