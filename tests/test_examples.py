"""The examples in the docstrings of the entry points run as written."""

import doctest
import importlib

import pytest

from ganaug.checkpoint.snapshot import best_ema
from ganaug.workspace import GanRun

ENTRY_POINTS = [  # module and name of a function or class
    "classifiers.registry.build",
    "classifiers.scores.score",
    "classifiers.votes.vote",
    "custom_ops.bias_act.bias_act",
    "custom_ops.modulated_conv.modulated_conv2d",
    "custom_ops.upfirdn2d.upfirdn2d",
    "ganaug.augment.pipeline.AugmentPipe",
    "ganaug.checkpoint.snapshot.load_generator",
    "ganaug.evaluate.labels.fractions.of_independent",
    "ganaug.evaluate.metrics.frechet.frechet_distance",
    "ganaug.evaluate.metrics.kernel.kernel_distance",
    "ganaug.evaluate.metrics.mind.mind",
    "ganaug.evaluate.metrics.neighbours.compare_neighbours",
    "ganaug.evaluate.metrics.vendi.vendi_score",
    "ganaug.study.statistics.paired.paired_difference",
]


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_the_example_of_an_entry_point_runs_and_prints_what_it_says(entry_point: str, trained: GanRun) -> None:
    module_name, name = entry_point.rsplit(".", 1)
    module = importlib.import_module(module_name)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(
        getattr(module, name), name, module=module, globs=vars(module) | {"path": best_ema(trained)}
    )
    assert example.examples, "an example in its docstring"
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0, f"{result.failed} of {result.attempted} statements print something else"
