"""Notes on how images were decoded: their depth, pages and orientation, each with a number and an example."""

from collections.abc import Sequence

from ganaug.data.images.decode import MAX_PAGES
from ganaug.data.prepare.read_images import Facts
from ganaug.errors import private


def pixel_notes(facts: Sequence[Facts]) -> list[str]:
    """What a user should know of the images' files; a tiled image counts once."""
    images = list({image.order[0]: image for image in facts}.values())
    return [*_of_depth(images), *_of_pages(images), *_of_orientation(images)]


def grey_bits(facts: Sequence[Facts]) -> dict[str, int]:
    """The bits that files of 16-bit grey were taken to have, where there are any: later images are scaled as these."""
    return next(({"grey_bits": image.about.bits} for image in facts if image.about.deep == "grey"), {})


def _of_depth(images: Sequence[Facts]) -> list[str]:
    grey = [image for image in images if image.about.deep == "grey"]
    colour = [image for image in images if image.about.deep == "colour"]
    notes = []
    if grey:
        bits, highest = grey[0].about.bits, max(image.about.max_value for image in grey)
        scaled = f"{len(grey)} files of 16-bit grey hold values up to {highest}"
        notes.append(f"{scaled}: they were taken to have {bits} bits and scaled from 0-{2**bits - 1} to 0-255")
        low = [image for image in grey if image.about.own_bits <= 12 and image.about.max_value > 255]
        if bits == 16 and low:
            notes.append(
                f"{len(low)} of {len(grey)} files of 16-bit grey hold no value above {2**12 - 1}, such as {_names(low)}"
                ": they became dark. If they come from a camera of 12 bits or less, prepare them apart"
            )
    if colour:
        notes.append(
            f"{len(colour)} files of 16-bit colour, such as {_names(colour)}: the upper 8 bits of each value were used"
        )
    return notes


def _of_pages(images: Sequence[Facts]) -> list[str]:
    paged = [image for image in images if image.about.num_pages > 1]
    if not paged:
        return []
    most = max(image.about.num_pages for image in paged)
    pages = f"{most} or more" if most == MAX_PAGES else f"up to {most}"
    return [f"{len(paged)} files hold several pages or frames ({pages}), such as {_names(paged)}: the first was used"]


def _of_orientation(images: Sequence[Facts]) -> list[str]:
    turned = [image for image in images if image.about.is_turned]
    if not turned:
        return []
    return [f"{len(turned)} images were turned as their EXIF orientation says, such as {_names(turned)}"]


def _names(images: Sequence[Facts]) -> str:
    return private(min(image.item.path for image in images))
