"""The answers of readers scored against the key: accuracy, per class and per reader, and how far readers agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ganaug.errors import CorruptFile, DataError
from ganaug.interval import Interval
from ganaug.provenance import require_seal
from ganaug.workspace import parse_json, read_json

EVERYBODY, ALL = "all readers", "all"


@dataclass(frozen=True)
class ReaderScore:
    """How often a reader, or all of them, sorted images of a class, or of all, rightly."""

    reader: str
    class_name: str
    num_answers: int
    accuracy: float
    interval: Interval
    real_called_real: float  # NaN where the class has none
    generated_called_real: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what does not exist is None."""
        numbers = {
            "accuracy": self.accuracy,
            "low": self.interval.low,
            "high": self.interval.high,
            "real_called_real": self.real_called_real,
            "generated_called_real": self.generated_called_real,
        }
        shown = {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}
        return {"reader": self.reader, "class": self.class_name, "answers": self.num_answers, **shown}


@dataclass(frozen=True)
class Answers:
    """What one reader said of each image."""

    reader: str
    is_real: NDArray[np.bool_]  # [images], in the order of the page


def read_answers(path: Path, study: str, num_items: int) -> Answers:
    """The answers in a file that the page saved; raises CorruptFile, or DataError where they are of another study."""
    try:
        values = parse_json(path.read_bytes())
        given, reader, own = values["answers"], str(values["reader"]), values["study"]
        answers = [given.get(str(number)) for number in range(1, num_items + 1)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path} holds no answers of a reader", expected="a file that the page saved") from error
    if own != study:
        raise DataError(f"{path} holds answers to the study {own}", expected=f"to {study}, as the key is")
    missing = [str(number) for number, answer in enumerate(answers, 1) if answer not in ("real", "generated")]
    if missing:
        raise DataError(
            f"{path} lacks an answer to image {', '.join(missing[:5])}{' and others' * (len(missing) > 5)}",
            todo="open the page again in the same browser, and answer them",
        )
    return Answers(reader, np.array([answer == "real" for answer in answers]))


def score_readers(key: Path, files: Sequence[Path], confidence: float = 0.95) -> tuple[list[ReaderScore], float]:
    """The scores of every reader and of all, per class and over all, and Fleiss' kappa of the readers (NaN for one).

    Images are the sample: with several readers, the answers to an image count as one, their mean.
    Raises LeakError where the key was edited, CorruptFile or DataError for files that are no answers to it.
    """
    values = require_seal(read_json(key), key)
    truth = np.array([item["is_real"] for item in values["items"]])
    classes = np.array([item["class_name"] for item in values["items"]])
    everybody = [read_answers(path, values["study"], len(truth)) for path in files]
    names = [answers.reader for answers in everybody]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two files of answers of the reader {twice[0]}", expected="one of each")
    called_real = np.array([answers.is_real for answers in everybody])
    rows = []
    for name, own in [*zip(names, called_real[:, None]), *([(EVERYBODY, called_real)] if len(names) > 1 else [])]:
        for class_name in (ALL, *dict.fromkeys(classes.tolist())):
            chosen = (classes == class_name) | (class_name == ALL)
            rows.append(_score(name, class_name, own[:, chosen], truth[chosen], confidence))
    return rows, fleiss_kappa(called_real)


def _score(
    reader: str, class_name: str, called_real: NDArray[np.bool_], truth: NDArray[np.bool_], confidence: float
) -> ReaderScore:
    """called_real [readers, images], truth [images]."""
    right = (called_real == truth).mean(axis=0)
    interval = wilson_interval(float(right.sum()), len(right), confidence)
    real, generated = called_real[:, truth], called_real[:, ~truth]
    return ReaderScore(
        reader,
        class_name,
        called_real.size,
        float(right.mean()),
        interval,
        float(real.mean()) if real.size else float("nan"),
        float(generated.mean()) if generated.size else float("nan"),
    )


def wilson_interval(num_right: float, num_images: int, confidence: float) -> Interval:
    """The score interval of a proportion, which keeps within 0 and 1 and holds for few images. Source: Wilson 1927."""
    z2 = float(stats.norm.ppf((1 + confidence) / 2)) ** 2
    middle = (num_right + z2 / 2) / (num_images + z2)
    spread = num_right * (num_images - num_right) / num_images + z2 / 4
    half = (z2 * spread) ** 0.5 / (num_images + z2)
    return Interval(middle - half, middle + half, confidence, "Wilson score")


def fleiss_kappa(called_real: NDArray[np.bool_]) -> float:
    """The agreement of readers beyond what guessing with their rates gives, of answers [readers, images].

    NaN for one reader, or where all answers are the same. Source: Fleiss 1971.
    """
    num_readers = len(called_real)
    if num_readers < 2:
        return float("nan")
    real = called_real.sum(axis=0)
    counts = np.stack([real, num_readers - real]).astype(float)
    observed = ((counts**2).sum(axis=0) - num_readers).mean() / (num_readers * (num_readers - 1))
    expected = ((counts.sum(axis=1) / counts.sum()) ** 2).sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")
