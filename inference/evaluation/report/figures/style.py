"""The style of figures: perceptually uniform colors, axes with units, and the same image on every machine.

matplotlib is used without pyplot: it keeps no state between figures and needs no window system. Its defaults apply
whatever the user's ``matplotlibrc`` says.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ....common import caches
from ....contract.untrusted import in_a_line

caches.keep_in_data_folder("MPLCONFIGDIR", "matplotlib")  # its font cache; must be set before the import

with caches.without_file("matplotlibrc"):
    import matplotlib as mpl

import cv2  # noqa: E402
import matplotlib.style  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.cm import ScalarMappable  # noqa: E402
from matplotlib.colors import Colormap, Normalize  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

DEPTH, ERROR = "inferno", "viridis"
"""Perceptually uniform, also in grayscale."""
MISSING = "#bdbdbd"
"""Missing values: a neutral gray that neither color map contains."""
TRUTH = "#000000"
MARK = "#e6194b"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colors, which are color-blind safe; further lines differ by dashes."""
DASHES = ("-", "--", "-.", ":")
WIDTH = 12.0  # inches
_LETTERS = 48  # of a displayed name
DPI = 110
_LARGE = 150_000  # bytes of PNG above which the page embeds lossy WebP
_QUALITY, _LOSSLESS = 92, 101  # of WebP; above 100 is lossless

_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "text.parse_math": False,  # names may hold dollars
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A finished figure: the stem of its file, its caption (`reading`), and an alternative text for screen readers."""

    name: str
    title: str
    reading: str
    alternative: str
    png: bytes


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style; figures must be created and rendered inside."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def short(name: str) -> str:
    """A shortened name; a leading underscore, which hides an entry from legends, gets a space."""
    shown = in_a_line(name, most=_LETTERS)
    return f" {shown}" if shown.startswith("_") else shown


def new_figure(
    height: float, *, width: float = WIDTH, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """An empty figure, its size in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def png(figure: Figure) -> bytes:
    """A figure as PNG: the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.draw_without_rendering()  # lays the figure out once instead of in each of two drawings
    figure.set_layout_engine("none")
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
    return buffer.getvalue()


def for_page(drawn: bytes) -> bytes:
    """A figure from `png` as WebP, several times smaller: plots lossless, images with an invisible loss."""
    image = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    quality = _QUALITY if len(drawn) > _LARGE else _LOSSLESS
    _, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return bytes(data.tobytes())


def colors(name: str) -> Colormap:
    """A color map with the color of missing values."""
    return mpl.colormaps[name].with_extremes(bad=MISSING)


def line_style(index: int) -> dict[str, Any]:
    """Color and dashes of the estimate of this index."""
    return {"color": LINES[index % len(LINES)], "linestyle": DASHES[index // len(LINES) % len(DASHES)]}


def show(axes: Axes, values: NDArray[np.floating], norm: Normalize, colormap: str) -> None:
    """Show a map in colors, or an image as it is, without ticks."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    if values.ndim == 3:
        axes.imshow(image(values), interpolation="antialiased")
    else:
        axes.imshow(values, cmap=colors(colormap), norm=norm)


def image(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """A plate's image for matplotlib, with the color of missing values where invalid."""
    return np.clip(np.where(np.isfinite(values), values, mpl.colors.to_rgb(MISSING)), 0, 1)


def color_bar(figure: Figure, axes: Any, norm: Normalize, colormap: str, *, label: str, extend: str = "both") -> None:
    """Add the color bar that the axes share."""
    bar = figure.colorbar(
        ScalarMappable(norm=norm, cmap=colors(colormap)),
        ax=axes,
        label=label,
        extend=extend,
        fraction=0.025,
        pad=0.01,
        aspect=30,
    )
    bar.ax.grid(visible=False)


def missing_key(figure: Figure) -> None:
    """Add a legend for the color of missing values."""
    figure.legend(handles=[Patch(facecolor=MISSING, label="no value")], loc="outside lower right")
