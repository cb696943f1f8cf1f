"""Pages that extend the base template: escaped, complete, and without a value left out."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from ganaug.report.page import render_page

TEMPLATE = """{% extends "base.html.j2" %}
{% block title %}{{ name }}{% endblock %}
{% block main %}<p>{{ 0.5 | percent }}, {{ -0.01 | points }}</p>{% endblock %}"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html.j2"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def test_a_page_fills_the_base_and_escapes_what_is_hostile_or_invisible(template: Path) -> None:
    page = render_page(template, name="<b>\u202egnp", notes=["a & b"])
    assert page.startswith("<!DOCTYPE html>")
    assert "<title>&lt;b&gt;\\u202egnp</title>" in page
    assert "<li>a &amp; b</li>" in page
    assert "<p>50 %, −1.0</p>" in page


def test_a_value_that_is_not_given_is_an_error(template: Path) -> None:
    with pytest.raises(UndefinedError, match="name"):
        render_page(template, notes=[])
