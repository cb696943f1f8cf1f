"""The classifiers compared, on real images only: on the phantom by number of training images, on BreakHis, by part.

    python scripts/bench_classification.py phantom [--keep DIR] [--out scripts/results/classification-phantom.json]
    python scripts/bench_classification.py ablation [--keep DIR] [--out scripts/results/classification-ablation.json]
    python scripts/bench_classification.py breakhis --source DIR --weights-dir DIR [--keep DIR] [--out FILE]

phantom: small networks, EfficientNet-Lite0 with its published weights and linear probes, after the same number of
steps, on 40, 100 and 400 training images per class; each seed is a fold of its own, with its own training, validation
and test patients. ablation: ResViT-GANNet without each of its parts. breakhis: 839 images at 200X, binary, five folds
by accession number, a subset that is not to be set next to published figures. Every run is a process of one thread.
With --keep, the same command resumes a run that was stopped.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
import numpy as np
import torch
from bench import common
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from classifiers.scores import score
from ganaug.classify.fold import train_and_test
from ganaug.classify.probes import extract as store_features
from ganaug.classify.probes import extractor_of, is_probe
from ganaug.config import Compute, FoldsConfig, PhantomConfig, PrepareConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.mixture import Mixture
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.parallel.processes import num_cores, run_parallel
from ganaug.provenance import digest_of
from ganaug.study.design import fit_config_of, seeds_of
from ganaug.weights import WEIGHTS, find_weights, published_name
from ganaug.workspace import Workspace, open_workspace, read_json, write_json

NUM_RESAMPLES = 1000  # of patients
IMAGES_PER_PATIENT = 10
PER_CLASS = (40, 100, 400)
SMALL = ("resvit_gannet_small", "dalaresnet50_small")
PUBLISHED = ("efficientnet_lite0", "probe:efficientnet_lite0")
PARTS = ("", "[squeeze_excitation=off]", "[token_fusion=off]", "[alignment=off]", "[tama=off]", "[branch=cnn]",
         "[branch=vit]")  # fmt: skip
BREAKHIS = (
    *SMALL, "resnet50_small", "seresnet50_small", "densenet121_small", "vgg16_small", "vgg16_inception_small",
    "vit_small", "swin_small", "transmil_small", "ctranspath_small", "swin_cnn_small", *PUBLISHED, "probe:squeezenet",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training: which classifier, on which training images of which fold."""

    classifier: str
    fold: int
    seed: int
    per_class: int | None = None  # training images; None: all of the fold


def runs_of(question: str, num_seeds: int) -> list[Run]:
    """The runs of a question, those that are compared next to each other."""
    seeds = range(num_seeds)
    if question == "phantom":
        return [Run(name, seed, seed, number) for number in PER_CLASS for seed in seeds for name in SMALL + PUBLISHED]
    if question == "ablation":
        return [Run(f"resvit_gannet_small{part}", seed, seed, 100) for seed in seeds for part in PARTS]
    return [Run(name, fold, 0) for fold in range(5) for name in BREAKHIS]


def prepare(question: str, workspace: Workspace, source: Path | None) -> str:
    """Prepare the data set of a question where it is missing, and return its name."""
    name = "breakhis" if question == "breakhis" else "phantom"
    if name not in workspace.datasets():
        if name == "breakhis":
            config = PrepareConfig(
                name, source=str(source), resolution_px=64, folds=FoldsConfig(5), magnification="200", task="binary"
            )
        else:
            phantom = PhantomConfig(64, num_patients=280, images_per_patient=IMAGES_PER_PATIENT)
            config = PrepareConfig(name, resolution_px=64, folds=FoldsConfig(5), phantom=phantom)
        prepare_dataset(workspace, config)
    return name


def choose(dataset: DataSet, run: Run) -> NDArray[np.int64]:
    """The training images of a run, with all images of whole patients, who are drawn by the seed."""
    train = dataset.train(run.fold)
    if run.per_class is None:
        return train
    groups, labels = dataset.table.group_id[train], dataset.table.label[train]
    rng, chosen = np.random.default_rng(run.seed), []
    for label in range(dataset.table.num_classes):
        patients = rng.permutation(np.unique(groups[labels == label]))[: run.per_class // IMAGES_PER_PATIENT]
        chosen.append(train[np.isin(groups, patients) & (labels == label)])
    counts = [len(images) for images in chosen]
    assert counts == [run.per_class] * len(counts), counts
    return np.concatenate(chosen)


def run_once(root: Path, name: str, run: Run, config: StudyConfig, weights_dir: Path | None) -> None:
    """Train one classifier and keep its predictions of the test part; nothing where that was done before."""
    torch.set_num_threads(1)
    target = result_file(root, name, run, config)
    if target.exists():
        return
    workspace, compute = open_workspace(root), Compute(weights_dir=weights_dir)
    dataset, started = open_dataset(workspace, name), time.process_time()
    labels = dataset.table.label
    chosen = choose(dataset, run)
    images = Mixture.of([(dataset.images(run.fold), chosen, labels[chosen])])
    options, seeds = fit_config_of(config, run.fold, run.seed), seeds_of(run.fold, run.seed)
    weights = find_published(run.classifier, compute)
    _, tested = train_and_test(
        workspace, dataset, run.fold, run.classifier, images, options, seed=seeds.weights, weights=weights
    )
    arrays: dict[str, NDArray[Any]] = {"labels": tested.labels, "probs": tested.probs, "groups": tested.groups}
    values = {name: array.tolist() for name, array in arrays.items()}
    scores = score(tested.labels, tested.probs, tested.groups.tolist(), dataset.table.class_names)
    write_json(target, {**asdict(run), "seconds": time.process_time() - started, "scores": scores, **values})


def find_published(classifier: str, compute: Compute) -> Path | None:
    name = published_name(classifier)
    return find_weights(compute.weights_dir, name) if name in WEIGHTS else None


def extract(workspace: Workspace, dataset: DataSet, runs: Sequence[Run], compute: Compute) -> None:
    """Store the features that the probes need, on all cores, before the runs share these."""
    for name in sorted({run.classifier for run in runs if is_probe(run.classifier)}):
        extractor = extractor_of(name, find_published(name, compute))
        store_features(workspace, dataset.images(0), extractor, progress=True)


def result_file(root: Path, name: str, run: Run, config: StudyConfig) -> Path:
    return root / "runs" / f"{digest_of([name, asdict(run), repr(config)])[:16]}.json"


def intervals(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, float]:
    """Mean of a score over seeds that share no training patient, with the 95 % interval of Student's t."""
    values = [row["scores"]["by_image"]["overall"][metric] for row in rows]
    half = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return {"mean": mean(values), "low": mean(values) - half, "high": mean(values) + half}


def pooled(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores over the test patients of all folds, with 95 % percentile intervals over resamples of patients."""
    labels, probs, groups = (
        np.concatenate([np.array(row[key]) for row in rows]) for key in ("labels", "probs", "groups")
    )
    names, members = np.unique(groups, return_inverse=True)
    of_patient = [np.flatnonzero(members == patient) for patient in range(len(names))]
    strata = [[at for at, own in enumerate(of_patient) if labels[own[0]] == label] for label in range(probs.shape[1])]
    point, rng, drawn = score_patients(labels, probs, of_patient), np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES):
        chosen = np.concatenate([rng.choice(patients, len(patients)) for patients in strata])
        drawn.append(score_patients(labels, probs, [of_patient[patient] for patient in chosen]))
    bounds = {key: np.percentile([values[key] for values in drawn], (2.5, 97.5)) for key in point}
    return {key: {"mean": point[key], "low": bounds[key][0], "high": bounds[key][1]} for key in point}


def score_patients(
    labels: NDArray[np.int64], probs: NDArray[np.float64], patients: Sequence[NDArray[np.int64]]
) -> dict[str, float]:
    """Scores of two classes over patients, given by the indices of their images; a patient has one class."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    images = np.concatenate(patients)
    right = probs.argmax(1) == labels
    of_patients = np.array([labels[own[0]] for own in patients])
    called = np.array([probs[own].mean(0).argmax() for own in patients])
    return {
        "balanced accuracy, images": balanced_accuracy_score(labels[images], probs[images].argmax(1)),
        "AUROC, images": roc_auc_score(labels[images], probs[images, 1]),
        "right images per patient": float(np.mean([right[own].mean() for own in patients])),
        "balanced accuracy, patients": balanced_accuracy_score(of_patients, called),
    }


def summarise(question: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per classifier and number of training images."""
    kinds = list(dict.fromkeys((row["per_class"], row["classifier"]) for row in rows))
    table = []
    for per_class, classifier in kinds:
        own = [row for row in rows if (row["per_class"], row["classifier"]) == (per_class, classifier)]
        figures = pooled(own) if question == "breakhis" else {
            "balanced accuracy": intervals(own, "balanced_accuracy"), "AUROC": intervals(own, "auroc")
        }  # fmt: skip
        seconds = mean(row["seconds"] for row in own)
        table.append({"classifier": classifier, "per_class": per_class, **figures, "cpu_seconds_per_run": seconds})
    return table


def as_table(table: Sequence[dict[str, Any]]) -> str:
    names = [name for name, value in table[0].items() if isinstance(value, dict)]
    lines = [
        [
            row["classifier"],
            str(row["per_class"] or "all"),
            *(f"{row[name]['mean']:.3f} ({row[name]['low']:.3f} to {row[name]['high']:.3f})" for name in names),
            f"{row['cpu_seconds_per_run']:.0f}",
        ]
        for row in table
    ]
    return common.markdown_table(["classifier", "images per class", *names, "CPU seconds per run"], lines)


@click.command()
@click.argument("question", type=click.Choice(("phantom", "ablation", "breakhis")))
@click.option("--source", type=click.Path(path_type=Path, exists=True), help="breakhis: folder of BreaKHis_v1")
@click.option(
    "--weights-dir", type=click.Path(path_type=Path, exists=True), help="breakhis: folder with SqueezeNet's weights"
)
@click.option("--steps", default=StudyConfig().num_steps, show_default=True, help="Optimizer steps of every network")
@click.option("--seeds", default=5, show_default=True, help="phantom and ablation: 2 to 5, each a fold of its own")
@click.option("--only", multiple=True, help="Classifier to run; may be repeated  [default: all of the question]")
@click.option("--workers", default=num_cores(), show_default=True, help="Runs at a time")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep the work in")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(
    question: str, source: Path | None, weights_dir: Path | None, steps: int, seeds: int, only: tuple[str, ...],
    workers: int, keep: Path | None, out: Path | None,
) -> None:  # fmt: skip
    """Train and test every classifier of the question, and print the table."""
    config = StudyConfig(num_steps=steps)
    with nullcontext(str(keep)) if keep else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        workspace = open_workspace(root)
        name = prepare(question, workspace, source)
        dataset = open_dataset(workspace, name)
        runs = [run for run in runs_of(question, seeds) if not only or run.classifier in only]
        extract(workspace, dataset, runs, Compute(weights_dir=weights_dir, progress=True))
        calls = [(root, name, run, config, weights_dir) for run in runs]
        for _ in tqdm(run_parallel(run_once, calls, workers), total=len(calls), desc=question):
            pass
        rows = [read_json(result_file(root, name, run, config)) for run in runs]
        table = summarise(question, rows)
    print(as_table(table))
    if out:
        about = {"question": question, "steps": steps, "seeds": seeds, "images": len(dataset.table.label)}
        common.write_json(out, {"machine": common.describe_machine("cpu", "default"), **about, "rows": table})


if __name__ == "__main__":
    main()
