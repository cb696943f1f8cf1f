"""Measures the subtype model: its gene arm on real tables next to logistic regression, all arms on a paired phantom.

PAM50 is computed from the expression of these genes, so the first table is near-circular: it shows that the arm learns,
not that it would help anybody. The second, of microRNA, is the harder case. The phantom is of another seed than the one
on which the model's options were chosen.
"""

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench.common import describe_machine, write_json
from numpy.typing import NDArray

from classifiers.models.cross_attention import PatientSamples
from ganaug.classify.patients import Parts, Patients
from ganaug.cli.train_patients import format_subtypes
from ganaug.config import Compute, PairedConfig, PhantomConfig, PrepareConfig, SubtypeConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.paired import best_accuracy
from ganaug.study.statistics.increments import GENES, PatientPredictions, compare
from ganaug.study.subtypes import compare_arms, run_arms
from ganaug.workspace import open_workspace

TABLES = ("tcga-brca-mrna49-luma-vs-basal.csv", "tcga-brca-mirna503-pam50.csv")
NUM_FOLDS = 5
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)  # C of the logistic regression, chosen on the validation part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("GANAUG_SHARED"), help="folder with data/*.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--patients", type=int, default=240, help="of the phantom")
    parser.add_argument("--images-per-patient", type=int, default=4, help="of the phantom")
    parser.add_argument("--phantom-seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file of the figures, as JSON")
    chosen = parser.parse_args()
    config = SubtypeConfig(seeds=tuple(range(chosen.seeds)))
    figures: dict[str, Any] = {"machine": describe_machine("cpu", "default")}
    if chosen.shared is not None:
        for name in TABLES:
            figures[name] = measure_table(Path(chosen.shared) / "data" / name, config)
    phantom = PhantomConfig(64, chosen.patients, chosen.images_per_patient)
    figures["paired-phantom"] = measure_phantom(phantom, chosen.phantom_seed, config)
    if chosen.out is not None:
        write_json(chosen.out, figures)


def measure_table(path: Path, config: SubtypeConfig) -> dict[str, Any]:
    """The gene arm and logistic regression on the same five folds, whose scales are those of the training part."""
    patients, started = read_table(path), time.perf_counter()
    parts = cut(patients.labels)
    tested = run_arms(lambda fold: patients, parts, config, arms=(GENES,))
    baseline = np.stack([regress(patients, parts)] * len(config.seeds))
    scores, _ = compare(PatientPredictions(tested.labels, {GENES: tested.probs[GENES], "logistic": baseline}), config)
    for row in scores:
        print(
            f"{path.name}: {row.arm} {row.metric} {row.value:.3f} ({row.interval.low:.3f} to {row.interval.high:.3f})"
        )
    return {
        "patients": dict(zip(patients.class_names, np.bincount(patients.labels).tolist(), strict=True)),
        "genes": len(patients.genes),
        "folds": NUM_FOLDS,
        "scores": [row.to_dict() for row in scores],
        "note": "PAM50 is computed from gene expression: near-circular",
        "seconds": round(time.perf_counter() - started, 1),
    }


def read_table(path: Path) -> Patients:
    """A CSV with a column `pam50` and one for each gene, a line per tumour; no tumour has images here."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    genes = tuple(name for name in rows[0] if name not in ("sample_id", "pam50"))
    class_names = tuple(sorted({row["pam50"] for row in rows}))
    groups = tuple(row.get("sample_id", "")[:12] or f"row-{index}" for index, row in enumerate(rows))
    if len(set(groups)) < len(groups):
        raise SystemExit(f"{path} has patients with several rows; expected one for each")
    values = np.array([[float(row[gene]) for gene in genes] for row in rows], np.float32)
    labels = np.array([class_names.index(row["pam50"]) for row in rows], np.int64)
    return Patients(
        groups, labels, PatientSamples([np.zeros((0, 1), np.float32)] * len(rows), values), class_names, genes
    )


def cut(labels: NDArray[np.int64]) -> dict[int, Parts]:
    """Five folds by patient, stratified: each tests one piece, validates on the next and trains on the others."""
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0)
    pieces = [test for _, test in splitter.split(labels, labels)]
    return {
        fold: Parts(
            train=np.sort(np.concatenate([pieces[(fold + ahead) % NUM_FOLDS] for ahead in range(2, NUM_FOLDS)])),
            val=pieces[(fold + 1) % NUM_FOLDS],
            test=pieces[fold],
        )
        for fold in range(NUM_FOLDS)
    }


def regress(patients: Patients, parts: dict[int, Parts]) -> NDArray[np.float64]:
    """Out-of-fold probabilities [P,K] of an L2 logistic regression, its penalty chosen on the validation part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = patients.samples.expression, patients.labels
    probs = np.empty((len(y), len(patients.class_names)))
    for part in parts.values():
        models = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)) for c in PENALTIES]
        for model in models:
            model.fit(x[part.train], y[part.train])
        losses = [log_loss(y[part.val], model.predict_proba(x[part.val]), labels=np.unique(y)) for model in models]
        probs[part.test] = models[int(np.argmin(losses))].predict_proba(x[part.test])
    return probs


def measure_phantom(phantom: PhantomConfig, seed: int, config: SubtypeConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        prepare_dataset(workspace, PrepareConfig("paired-phantom", seed=seed, phantom=phantom))
        result = compare_arms(workspace, open_dataset(workspace, "paired-phantom"), None, config, Compute())
    print(format_subtypes(result))
    return {"seed": seed, "best_accuracy": vars(best_accuracy(PairedConfig())), **result.to_dict()}


if __name__ == "__main__":
    main()
