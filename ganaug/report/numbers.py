"""Number formats of pages and messages: scores, percentages and percentage points."""


def points(value: float) -> str:
    """A difference as signed percentage points: 0.012 is "+1.2"; one that rounds to zero has no sign."""
    text = f"{100 * value:+.1f}"
    return text[1:] if float(text) == 0 else _with_minus(text)


def percent(fraction: float) -> str:
    """A fraction as a percentage: 0.95 is "95 %"."""
    return f"{100 * fraction:.4g} %"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals; None is a dash."""
    return "–" if value is None else _with_minus(f"{value:.{digits}f}")


def probability(value: float) -> str:
    """A p-value with three decimals; one that rounds to zero is "< 0.001"."""
    return "< 0.001" if value < 0.0005 else number(value)


def count(num: int, noun: str) -> str:
    """A number of things: 1 image, 2 images."""
    return f"{num} {noun}{'' if num == 1 else 's'}"


def figure(value: float | None) -> str:
    """A number with four significant digits; None is a dash."""
    return "–" if value is None else _with_minus(f"{value:.4g}")


def _with_minus(text: str) -> str:
    return text.replace("-", "−")
