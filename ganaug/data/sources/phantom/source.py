"""The phantom as a source of data: its images by name, each drawn when it is asked for.

It is made here from a seed, belongs to no patient, needs no download and no citation, and may be used freely (CC0).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product

from ganaug.config import BREAST_CLASSES, PhantomConfig, PrepareConfig
from ganaug.data.sources.phantom.draw import draw_one
from ganaug.data.sources.scans.scan import Drawn, Item, Load, Scan

NOTE = (
    "these images are drawn: what is found on them shows how this tool works. Generators that begin with --init "
    "phantom, as on a CPU, have learnt such tissue from other drawn patients before; with --init none they have not"
)


def scan(config: PrepareConfig) -> Scan:
    """List the images of the phantom of `config.phantom`; none is drawn yet."""
    phantom = config.phantom
    places = product(range(phantom.num_patients), range(phantom.images_per_patient))
    place_of = {f"phantom-p{patient:03d}-{index:03d}": (patient, index) for patient, index in places}
    items = (
        Item(name, patient % len(BREAST_CLASSES), f"phantom-p{patient:03d}", name, um_per_px=phantom.um_per_px)
        for name, (patient, _) in place_of.items()
    )

    def read(items: Sequence[Item]) -> Iterator[tuple[int, Load]]:
        for position, item in enumerate(items):
            yield position, partial(_draw, phantom, config.seed, item, *place_of[item.image_id])

    return Scan(
        class_names=BREAST_CLASSES,
        items=tuple(items),
        read=read,
        licence="CC0",
        citation="none needed: drawn by ganaug",
        drawn=True,
        notes=(NOTE,),
    )


def _draw(phantom: PhantomConfig, seed: int, item: Item, patient: int, index: int) -> Drawn:
    made = draw_one(phantom, seed, patient, index)
    assert (made.label, made.group_id, made.image_id) == (item.label, item.group_id, item.image_id), made.image_id
    return Drawn(made.image, made.mask)
