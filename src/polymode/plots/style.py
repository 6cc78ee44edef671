"""The one look of our figures."""

from typing import Any

BASE = "#8a8f98"
PLAIN = "#d1603d"
ANCHORED = "#2a7f9e"
PROMISE = "#16181d"

COLOURS = {"base": BASE, "plain": PLAIN, "anchored": ANCHORED}

RC: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "svg.hashsalt": "polymode",  # the same figure gives the same file
}
