"""Shards, whatever their number, order, failures and races, add up to the file that one process makes."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganaug.config import Compute, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import content_digest, read_table
from ganaug.data.synthetic import admit_synthetic
from ganaug.data.synthetic_file import Rows, write_rows
from ganaug.errors import WorkspaceError
from ganaug.generate.sampler import CHUNK
from ganaug.generate.shards import merge, merge_parts, missing_shards, synthesize_all
from ganaug.generate.synthesize import SynthesisPlan, plan_synthesis, synthesize
from ganaug.parallel.shards import Shard
from ganaug.provenance import read_provenance, require_content
from ganaug.workspace import GanRun, Workspace, atomic_path

SHARDED = SynthesisConfig(per_class=CHUNK + 3)  # 8 chunks


@pytest.fixture
def whole(workspace: Workspace, run: GanRun) -> tuple[SynthesisPlan, str]:
    """A plan, and the digest of what it gives as one file, which is removed."""
    plan = plan_synthesis(workspace, run, SHARDED)
    digest = content_digest(synthesize(plan, batch=CHUNK))
    plan.target.unlink()
    return plan, digest


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11])
def test_any_number_of_shards_gives_the_same_file(whole: tuple[SynthesisPlan, str], count: int) -> None:
    plan, digest = whole
    for index in reversed(range(count)):
        (path,) = synthesize_all([plan], shard=Shard(index, count), batch=64)
    assert path == plan.target
    assert content_digest(path) == digest
    table = read_table(path)
    assert table.class_counts().tolist() == [CHUNK + 3] * 4
    require_content(read_provenance(table.attrs["provenance"], path), digest, path)
    assert [file.name for file in plan.target.parent.iterdir()] == [plan.target.name]


def test_processes_of_one_call_give_the_same_file(whole: tuple[SynthesisPlan, str]) -> None:
    plan, digest = whole
    assert content_digest(synthesize_all([plan], compute=Compute(num_workers=2))[0]) == digest


def test_a_part_is_itself_admitted_and_is_no_file_of_the_study(
    whole: tuple[SynthesisPlan, str], workspace: Workspace, tiny: DataSet
) -> None:
    (part,) = synthesize_all([whole[0]], shard=Shard(1, 2))
    admit_synthetic(tiny, part)
    assert workspace.synthetics() == []


def test_finished_shards_are_kept_and_truncated_ones_made_again(
    whole: tuple[SynthesisPlan, str], interrupt: Callable[[], AbstractContextManager[None]]
) -> None:
    plan, digest = whole
    (first,) = synthesize_all([plan], shard=Shard(0, 3))
    (second,) = synthesize_all([plan], shard=Shard(1, 3))
    made_at = first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:-1000])
    with interrupt():
        synthesize_all([plan], shard=Shard(2, 3))
    assert sorted(file.name for file in first.parent.iterdir()) == [first.name, second.name]
    synthesize_all([plan], shard=Shard(0, 3))
    assert first.stat().st_mtime_ns == made_at
    assert synthesize_all([plan], shard=Shard(2, 3)) != [plan.target]  # the truncated one is missing
    assert synthesize_all([plan], shard=Shard(1, 3)) == [plan.target]
    assert content_digest(plan.target) == digest


def test_a_shard_of_what_is_there_already_does_nothing(whole: tuple[SynthesisPlan, str]) -> None:
    plan, _ = whole
    synthesize(plan)
    assert synthesize_all([plan], shard=Shard(1, 3)) == [plan.target]
    assert not (plan.target.parent / "parts").exists()


def test_parts_are_merged_on_request_once_none_is_missing(whole: tuple[SynthesisPlan, str]) -> None:
    plan, digest = whole
    with pytest.raises(WorkspaceError, match="there are no parts"):
        merge_parts(plan)
    for index in (0, 2):
        synthesize(plan, Shard(index, 3))
    with pytest.raises(WorkspaceError, match=r"1 of 3 parts .* 1/3"):
        merge_parts(plan)
    synthesize(plan, Shard(1, 3))
    assert content_digest(merge_parts(plan)) == digest


def test_an_equal_run_that_merges_first_leaves_the_other_the_same_file(
    whole: tuple[SynthesisPlan, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever moment the other run merges the parts, and removes them."""
    plan, digest = whole
    moments: list[str] = []

    def other_merges_first(moment: str) -> None:
        if moment not in moments:
            moments.append(moment)
            merge_parts(plan)
            assert content_digest(plan.target) == digest

    def write_late(path: Path, rows: Iterable[Rows], *rest: Any) -> None:
        if path == plan.target:
            other_merges_first("before the parts are read")
        write_rows(path, rows, *rest)

    def look_then_merge(*given: Any) -> list[Shard]:
        missing = missing_shards(*given)
        other_merges_first("after the parts are looked for")
        return missing

    for name, double in (("write_rows", write_late), ("missing_shards", look_then_merge)):
        for index in (0, 1):
            synthesize(plan, Shard(index, 2))
        with monkeypatch.context() as racing:
            racing.setattr(f"ganaug.generate.shards.{name}", double)
            assert merge(plan, 2) == plan.target
        assert content_digest(plan.target) == digest
        assert not (plan.target.parent / "parts").exists()
        plan.target.unlink()
    assert len(moments) == 2


def test_a_shard_whose_equal_run_has_finished_meanwhile_gives_its_file(
    whole: tuple[SynthesisPlan, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, digest = whole
    name = "ganaug.generate.synthesize.write_rows"

    def swept_away(path: Path, *rest: Any) -> None:
        if path != plan.target:
            monkeypatch.setattr(name, write_rows)
            synthesize(plan)
            raise WorkspaceError(f"{path} cannot be read or written (No such file or directory)")
        write_rows(path, *rest)

    monkeypatch.setattr(name, swept_away)
    assert synthesize_all([plan], shard=Shard(0, 2)) == [plan.target]
    assert content_digest(plan.target) == digest


def test_what_another_run_is_writing_is_not_removed_with_the_parts(whole: tuple[SynthesisPlan, str]) -> None:
    plan, digest = whole
    for index in (0, 1):
        synthesize(plan, Shard(index, 2))
    with atomic_path(plan.path(Shard(2, 5))) as part:
        part.write_bytes(b"of other options")
        assert content_digest(merge_parts(plan)) == digest
    assert plan.path(Shard(2, 5)).read_bytes() == b"of other options"


def test_parts_of_other_options_are_not_merged(whole: tuple[SynthesisPlan, str]) -> None:
    plan, _ = whole
    synthesize(plan, Shard(0, 2))
    other = replace(plan, config=replace(plan.config, per_class=5))
    synthesize(other, Shard(1, 2))
    with pytest.raises(WorkspaceError, match=r"other options.* 1/2"):
        merge_parts(plan)
    assert not plan.target.exists()
