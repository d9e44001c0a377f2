"""The colours of figures on a dark page: what would not be seen there has a twin of the same hue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from matplotlib.colors import to_hex, to_rgb

PAPER = "#14181d"  # of a dark page, as in report.css
LEAST_CONTRAST = 3.0  # of what must be seen against the paper; WCAG 2.2, 1.4.11
KNOWN = {  # of a light page's own colours
    "#ffffff": PAPER,
    "#1b1f24": "#e8ebef",  # INK
    "#5f6b7a": "#a3adba",  # QUIET
    "#e3e7ec": "#2f363f",  # FAINT
    "#cdd4dc": "#56606c",
    "#1b1f25": "#1b1f25",  # heat_maps.ON_LIGHT: on cells that are light on any page
}
COLOUR = re.compile(r"#[0-9a-f]{6}\b")


@cache
def twin(colour: str) -> str:
    """Return the colour on a dark page of `#rrggbb`: itself where it is seen there, else mixed with white."""
    if colour in KNOWN:
        return KNOWN[colour]
    mixed, white = colour, 0.0
    while contrast(mixed, PAPER) < LEAST_CONTRAST:
        white += 0.05
        red, green, blue = (white + (1 - white) * part for part in to_rgb(colour))
        mixed = to_hex((red, green, blue))
    return mixed


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21. *Source:* WCAG 2.2, contrast ratio."""
    lighter, darker = sorted(map(_luminance, (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def recolour(style: str) -> str:
    """Let variables of the page stand for the colours of a style that have a twin; others stay."""
    return COLOUR.sub(lambda found: _variable(found[0]), style)


def _variable(colour: str) -> str:
    return colour if twin(colour) == colour else f"var(--x{colour[1:]}, {colour})"


def dark_colours(texts: Iterable[str]) -> str:
    """Return the declarations, in CSS, of the variables that stand in texts, for the rules of a dark page."""
    used = {f"#{found}" for text in texts for found in re.findall(r"var\(--x([0-9a-f]{6})", text)}
    return " ".join(f"--x{colour[1:]}: {twin(colour)};" for colour in sorted(used))
