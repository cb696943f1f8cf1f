import io
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.folds.folds import check_feasible
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import content_digest
from ganaug.data.sources import scan_source as scan
from ganaug.data.sources.breakhis import SUBTYPES, Name, parse_name
from ganaug.errors import ConfigError, DataError, FoldsError, for_terminal
from ganaug.workspace import Workspace

NAMES = [
    f"SOB_{'B' if subtype in ('A', 'F') else 'M'}_{subtype}-14-{slide}-{magnification}-{number:03d}.png"
    for subtype, slides in (("A", ("100AB", "100CD", "101", "102")), ("F", ("103",)), ("DC", ("200", "201", "202EF")))
    for slide in slides
    for magnification in (40, 200)
    for number in (1, 2)
]


def picture(seed: int, size: tuple[int, int] = (70, 46)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mirror with an odd nesting, other files among the images."""
    root = tmp_path / "mirror"
    for seed, name in enumerate(NAMES):
        folder = root / f"level{seed % 3}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(seed))
    (root / "README.txt").write_text("not an image")
    (root / "level0" / f"._{NAMES[0]}").write_text("a resource fork")
    return root


@pytest.fixture
def archive(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "BreaKHis_v1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(root.rglob("*.*"), reverse=True):  # another order than the folder's
            tar.add(file, arcname=f"./{file.relative_to(root)}")
    return path


def config(source: Path, **options: object) -> PrepareConfig:
    defaults: dict[str, object] = {"resolution_px": 16, "folds": FoldsConfig(3)}
    return PrepareConfig("breakhis", str(source), **{**defaults, **options})  # type: ignore[arg-type]


def test_a_name_is_parsed() -> None:
    name = parse_name("SOB_B_TA-14-22549AB-400-012.png")
    assert name == Name("TA", "14-22549AB", 400, 12)
    assert name is not None
    assert name.accession == "14-22549"


@pytest.mark.parametrize(
    "name",
    [
        "SOB_B_DC-14-22549AB-200-001.png",  # a malignant subtype called benign
        "SOB_M_A-14-22549AB-200-001.png",
        "SOB_B_A-14-22549AB-250-001.png",
        "SOB_B_A-14-22549AB-200-001_mask.png",
        "SOB_B_A-14-22549AB-200-001.png.jpg",
        "IMG_2041.png",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert parse_name(name) is None


def test_the_complete_official_list_is_counted_right(shared: Path) -> None:
    paths = (shared / "breakhis-files.txt").read_text().split()
    names = [parse_name(PurePosixPath(path).name) for path in paths]
    known = [name for name in names if name is not None]
    assert len(known) == len(paths) == 7909
    counts = Counter((name.subtype, name.magnification) for name in known)
    expected = {
        "A": (114, 113, 111, 106),
        "F": (253, 260, 264, 237),
        "PT": (109, 121, 108, 115),
        "TA": (149, 150, 140, 130),
        "DC": (864, 903, 896, 788),
        "LC": (156, 170, 163, 137),
        "MC": (205, 222, 196, 169),
        "PC": (145, 142, 135, 138),
    }
    assert {s: tuple(counts[s, m] for m in (40, 100, 200, 400)) for s in SUBTYPES} == expected
    assert len({name.slide for name in known}) == 81
    assert len({(name.subtype, name.slide) for name in known}) == 82
    assert len({name.accession for name in known}) == 70
    twice = Counter(name.subtype for name in known if name.slide == "14-13412")
    assert twice == {"DC": 123, "LC": 123}


def test_eight_classes_of_the_complete_list_cannot_be_cut_in_five(shared: Path) -> None:
    names = [parse_name(PurePosixPath(path).name) for path in (shared / "breakhis-files.txt").read_text().split()]
    known = [name for name in names if name is not None and name.slide != "14-13412"]
    groups = np.array([name.accession for name in known])
    labels = np.array([list(SUBTYPES).index(name.subtype) for name in known])
    sites = np.full(len(groups), "")
    with pytest.raises(
        FoldsError, match=r"adenosis has 2 patients, phyllodes_tumor has 3 .*--folds 3 --exclude-class adenosis"
    ):
        check_feasible(labels, groups, sites, tuple(SUBTYPES.values()), FoldsConfig(5))
    check_feasible((labels >= 4).astype(int), groups, sites, ("Benign", "Malignant"), FoldsConfig(5))


def test_binary_at_one_magnification_by_accession(root: Path) -> None:
    found = scan(config(root))
    assert found.class_names == ("Benign", "Malignant")
    assert {item.magnification for item in found.items} == {200}
    assert np.bincount(found.labels).tolist() == [10, 6]
    assert set(found.groups) == {"14-100", "14-101", "14-102", "14-103", "14-200", "14-201", "14-202"}
    assert found.skipped == ()


def test_slides_as_groups_on_request(root: Path) -> None:
    assert {"14-100AB", "14-100CD"} <= set(scan(config(root, group="folder")).groups)


def test_all_magnifications_of_a_patient_share_its_group(root: Path) -> None:
    found = scan(config(root, magnification="all"))
    assert len(found.items) == len(NAMES)
    assert Counter(item.magnification for item in found.items) == {40: 16, 200: 16}
    assert len(set(found.groups)) == 7


def test_subtypes_are_eight_classes_and_offer_the_binary_task(root: Path, workspace: Workspace) -> None:
    found = scan(config(root, task="subtype"))
    assert found.class_names == tuple(SUBTYPES.values())
    with pytest.raises(FoldsError, match=r"tubular_adenoma has 0 patients.*or --task binary"):
        prepare_dataset(workspace, config(root, task="subtype"))


def test_an_archive_gives_the_same_data_set_as_its_folder(root: Path, archive: Path, workspace: Workspace) -> None:
    folder = prepare_dataset(workspace, config(root, name="folder"))
    packed = prepare_dataset(workspace, config(archive, name="archive"))
    assert packed.table.fingerprint == folder.table.fingerprint
    assert content_digest(packed.path) == content_digest(folder.path)
    assert packed.folds == folder.folds


def test_the_slide_that_was_labelled_twice_is_skipped_with_a_note(root: Path) -> None:
    assert scan(config(root)).notes == ()
    for subtype in ("DC", "LC"):
        (root / f"SOB_M_{subtype}-14-13412-200-001.png").write_bytes(picture(99))
    found = scan(config(root))
    assert "14-13412" not in found.groups
    assert len(found.items) == 16
    assert tuple(map(for_terminal, found.notes)) == (
        "2 images of slide 14-13412 were skipped: it is labelled both DC and LC",
    )


def test_a_name_that_stands_in_two_folders_counts_once(root: Path) -> None:
    (root / "zz").mkdir()
    (root / "zz" / NAMES[2]).write_bytes(picture(2))
    found = scan(config(root))
    assert len(found.items) == 16
    assert "1 files bear the name of another" in found.notes[0]


def test_misnamed_images_are_skipped_and_reported(root: Path, workspace: Workspace) -> None:
    (root / "scan-17.png").write_bytes(picture(3))
    prepared = prepare_dataset(workspace, config(root))
    assert len(prepared.table) == 16
    assert [path for path, _ in prepared.skipped] == ["scan-17.png"]


def test_a_folder_without_breakhis_images_says_what_it_expects(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(picture(0))
    with pytest.raises(DataError, match=r"no BreakHis image \(1 file is skipped, such as cat\.png: .*SOB_B_A-14"):
        scan(config(tmp_path))


def test_a_magnification_that_is_missing_names_those_that_are_there(root: Path) -> None:
    with pytest.raises(DataError, match=r"no image at 400X \(16 at 40X, 16 at 200X\)"):
        scan(config(root, magnification="400"))


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.98])
def test_a_truncated_archive_is_one_line_and_writes_nothing(
    archive: Path, workspace: Workspace, fraction: float
) -> None:
    archive.write_bytes(archive.read_bytes()[: int(fraction * archive.stat().st_size)])
    with pytest.raises(DataError, match=r"truncated, damaged or no archive .*download it again"):
        prepare_dataset(workspace, config(archive))
    assert workspace.datasets() == []


def test_a_damaged_archive_is_one_line(archive: Path, workspace: Workspace) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    archive.write_bytes(data)
    with pytest.raises(DataError, match="truncated, damaged or no archive"):
        prepare_dataset(workspace, config(archive))


def test_a_file_that_is_no_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data.tar.gz").write_text("<html>please log in</html>")
    with pytest.raises(DataError, match="no archive"):
        scan(config(tmp_path / "data.tar.gz"))


def test_members_that_lead_out_of_the_archive_or_are_links_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for seed, name in enumerate((f"../../{NAMES[2]}", f"/tmp/{NAMES[3]}", f"good/{NAMES[6]}")):
            data = picture(seed)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo(f"good/{NAMES[7]}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = scan(config(path))
    assert [item.path for item in found.items] == [f"good/{NAMES[6]}"]
    assert Counter(reason for _, reason in found.skipped) == {
        "the path leads out of the archive": 2,
        "a link or a special file in the archive": 1,
    }


@pytest.mark.parametrize(("width", "known"), [(700, True), (350, False)])
def test_micrometres_per_pixel_are_kept_only_for_original_sizes(
    tmp_path: Path, workspace: Workspace, width: int, known: bool
) -> None:
    root = tmp_path / "sized"
    root.mkdir()
    for seed, name in enumerate(name for name in NAMES if "-200-" in name):
        (root / name).write_bytes(picture(seed, (width, 46 * width // 70)))
    prepared = prepare_dataset(workspace, config(root))
    if known:
        assert prepared.table.attrs["um_per_px"] == pytest.approx(0.10 * 460 / 16)
        assert not any("micrometres" in note for note in prepared.notes)
    else:
        assert "um_per_px" not in prepared.table.attrs
        assert any("micrometres per pixel are unknown" in note for note in prepared.notes)


def test_real_images_are_found_and_prepared(shared: Path, workspace: Workspace) -> None:
    assert len(scan(config(shared / "BreaKHis_v1")).items) == 839
    native = prepare_dataset(workspace, config(shared / "breakhis-native", magnification="all"))
    assert len(native.table) == 35
    assert native.skipped == ()


# ---- the scale -------------------------------------------------------------------------------------------------------


def test_the_published_scale_is_called_nominal_wherever_micrometres_enter(root: Path) -> None:
    assert not any("nominal" in note for note in scan(config(root)).notes)
    [note] = [note for note in scan(config(root, field_um=3.0)).notes if "nominal" in note]
    assert "0.10 µm at 200X" in note
    assert "--um-per-px" in note
    assert not any("nominal" in note for note in scan(config(root, field_um=3.0, um_per_px=0.35)).notes)


def test_a_scale_of_the_users_overrides_the_published_one_whatever_the_width(root: Path, workspace: Workspace) -> None:
    assert {item.um_per_px for item in scan(config(root)).items} == {0.10}
    assert {item.um_per_px for item in scan(config(root, um_per_px=0.35)).items} == {0.35}
    prepared = prepare_dataset(workspace, config(root, um_per_px=0.35, field_um=14.0, folds=FoldsConfig(3)))
    assert prepared.table.um_per_px.tolist() == pytest.approx([0.35 * 40 / 16] * len(prepared.table))


def test_one_scale_for_several_magnifications_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"--um-per-px 0\.35 for images at 40X, 200X; .*--magnification"):
        scan(config(root, um_per_px=0.35, magnification="all"))
