"""A browser shows the whole page, on any screen, in light and dark, and asks nobody for anything.

The page is measured by a script that stands around it and not in it.
"""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ganaug.study.run import Outcome
    from tests.ganaug.study.conftest import World


_MEASURE = """
<script>
const errors = [];
window.addEventListener("error", event => errors.push(String(event.message)));
window.addEventListener("load", () => setTimeout(() => {
  const page = document.querySelector("iframe").contentDocument, view = page.documentElement;
  const wide = [...page.querySelectorAll("main *, header *")].filter(each =>
    !each.closest(".wide") && each.getBoundingClientRect().right > view.clientWidth + 1);
  document.title = JSON.stringify({
    errors, scrollWidth: view.scrollWidth, width: view.clientWidth,
    images: [...page.images].length, broken: [...page.images].filter(each => !each.naturalWidth).length,
    requests: performance.getEntriesByType("resource").map(each => each.name)
      .concat(page.defaultView.performance.getEntriesByType("resource").map(each => each.name))
      .filter(name => !name.startsWith("data:")),
    too_wide: wide.map(each => each.tagName + "." + each.className).slice(0, 5),
    paper: getComputedStyle(page.body).backgroundColor,
    ink: getComputedStyle(page.body).color,
    narrow_plots: [...page.querySelectorAll("picture img")].filter(each => each.currentSrc !== each.src).length,
  });
}, 300));
</script>
"""


@dataclass(frozen=True)
class Shown:
    """What Chromium made of a page."""

    errors: list[str]
    scroll_width: int
    width: int
    images: int
    broken: int
    requests: list[str]
    too_wide: list[str]
    paper: str
    ink: str
    narrow_plots: int


def show(page: Path, folder: Path, *, width_px: int, is_dark: bool = False) -> Shown:
    """The page at a width; skips the test where there is no Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    text = html.escape(page.read_text(encoding="utf-8"))
    frame = f'<iframe style="width: {width_px}px; height: 900px; border: 0" srcdoc="{text}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f"<!DOCTYPE html><html><head>{_MEASURE}</head><body>{frame}</body></html>", encoding="utf-8")
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000",
        f"--blink-settings=preferredColorScheme={0 if is_dark else 1}", "--dump-dom", outer.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env=environment)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr[-2000:]
    found = json.loads(html.unescape(title[1]))
    return Shown(
        found["errors"], found["scrollWidth"], found["width"], found["images"], found["broken"], found["requests"],
        found["too_wide"], found["paper"], found["ink"], found["narrow_plots"],
    )  # fmt: skip


def test_page_fits_every_screen_and_loads_nothing(shown: "tuple[World, Outcome]", tmp_path: Path) -> None:
    page = shown[1].study.report
    for width_px in (1200, 390):
        for is_dark in (False, True):
            seen = show(page, tmp_path, width_px=width_px, is_dark=is_dark)
            assert seen.errors == []
            assert seen.requests == []
            assert seen.images > 10
            assert seen.broken == 0
            assert seen.width == width_px
            assert seen.too_wide == []
            assert seen.scroll_width <= width_px
            assert (brightness(seen.paper) < brightness(seen.ink)) == is_dark
            assert (seen.narrow_plots > 0) == (width_px < 640)
    assert page.stat().st_size < 5e6


def brightness(colour: str) -> float:
    """Of a colour as the browser writes it, such as rgb(22, 22, 20)."""
    values = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, values))
