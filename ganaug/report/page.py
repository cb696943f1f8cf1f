"""HTML pages that need no network, rendered from templates that extend `base.html.j2`."""

from pathlib import Path

from ganaug.errors import for_terminal
from ganaug.report.numbers import count, figure, number, percent, points, probability


def render_page(template: Path, **values: object) -> str:
    """The page that a template makes of these values; texts are escaped, also their invisible characters.

    Raises jinja2's UndefinedError where the template asks for a value that is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escape_invisible,
    )
    forms = (points, percent, number, figure, count, probability)
    environment.filters |= {form.__name__: form for form in forms}
    return environment.get_template(template.name).render(**values)


def _escape_invisible(value: object) -> object:
    """Text with its invisible characters escaped: names of classes may come from anywhere."""
    return for_terminal(value) if type(value) is str else value
