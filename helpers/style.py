"""How the course looks: one palette that colour-blind readers can tell apart, letters that a classroom can read."""

import matplotlib
from matplotlib import font_manager

from .data import data_file

# Okabe & Ito's palette (2008). A role keeps its colour in every notebook.
COLOURS = {
    "data": "#0072B2",  # blue
    "generated": "#D55E00",  # vermilion
    "discriminator": "#009E73",  # green
    "teacher": "#CC79A7",  # purple
    "student": "#E69F00",  # orange
    "other": "#56B4E9",  # light blue
    "quiet": "#7F7F7F",  # grey: references, what is there to compare with
    "black": "#000000",
}
CJK_FONT = "Noto Sans CJK TC"


def use_style() -> None:
    """Set matplotlib's defaults for the course: size, palette, large letters, and a font that has Chinese."""
    if CJK_FONT not in {font.name for font in font_manager.fontManager.ttflist}:
        font_manager.fontManager.addfont(data_file("NotoSansCJKtc-subset.otf"))
    order = ["data", "generated", "discriminator", "teacher", "student", "other", "quiet", "black"]
    matplotlib.rcParams.update(
        {
            "figure.figsize": (6.4, 4.0),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.family": ["DejaVu Sans", CJK_FONT],  # the first that has the character draws it
            "font.size": 12,
            "image.interpolation": "nearest",  # pixels are the subject: the default blurs what is enlarged less than 3 times
            "axes.titlesize": 13,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.prop_cycle": matplotlib.cycler(color=[COLOURS[name] for name in order]),
            "legend.frameon": False,
            "lines.linewidth": 2,
        }
    )
