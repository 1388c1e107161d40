"""A bar chart as SVG, written by hand: a plot is no reason for a dependency."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

BAR_PX: Final = 18
STEP_PX: Final = 28
LABELS_PX: Final = 460
BARS_PX: Final = 360
TOP_PX: Final = 48


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars with their names and values, and a line at 1."""
    longest = max([1.0, *(value for _, value in values)])
    scale = BARS_PX / longest
    height = TOP_PX + STEP_PX * len(values) + 16
    width = LABELS_PX + BARS_PX + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="26" font-size="16">{escape(title)}</text>',
    ]
    for n, (name, value) in enumerate(values):
        y = TOP_PX + n * STEP_PX
        text_y, length = y + BAR_PX - 5, max(1.0, value * scale)
        parts += [
            f'<text x="{LABELS_PX - 8}" y="{text_y}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABELS_PX}" y="{y}" width="{length:.1f}" height="{BAR_PX}" fill="#2a6f97"/>',
            f'<text x="{LABELS_PX + length + 6:.1f}" y="{text_y}">{value:.2f}</text>',
        ]
    one = LABELS_PX + scale
    parts += [
        f'<line x1="{one:.1f}" y1="{TOP_PX - 8}" x2="{one:.1f}" y2="{height - 8}" stroke="#c1121f"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
