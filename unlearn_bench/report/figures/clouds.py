"""Clouds of features, a panel for each model: the paper's figures 1 and 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlearn_bench.report.embedding import Clouds
from unlearn_bench.report.figures import blank, caption

SIDE = 3.6  # inches of a panel
NAMED_CLASSES = 20  # more of them would cover the points


def cloud_plot(title: str, clouds: Clouds) -> Any:
    """Returns a figure of a panel for each cloud: classes by colour and by name, D_f as black crosses.

    Up to twenty classes have their name where the median of their retained points lies; more are grey.
    """
    figure = blank(SIDE * len(clouds.panels), SIDE + 0.7)
    from matplotlib import colormaps  # blank() has told who lacks it

    panels = figure.subplots(1, len(clouds.panels), squeeze=False)[0]
    many = len(clouds.classes) > NAMED_CLASSES
    for panel, cloud in zip(panels, clouds.panels, strict=True):
        kept = ~cloud.is_forget
        colors = np.full((len(kept), 4), 0.6) if many else colormaps["tab20"](cloud.labels % 20)
        panel.scatter(*cloud.points[kept].T, s=4, c=colors[kept], linewidths=0, alpha=0.6, rasterized=True)
        panel.scatter(*cloud.points[~kept].T, s=9, c="black", marker="x", linewidths=0.5, rasterized=True)
        for label, name in enumerate(() if many else clouds.classes):
            own = cloud.points[kept & (cloud.labels == label)]
            if len(own):
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "0.5", "linewidth": 0.5}
                panel.text(*np.median(own, axis=0), name, fontsize=7, ha="center", va="center", bbox=box)
        panel.set_title(cloud.title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(title, fontsize=10)
    caption(figure, clouds.notes)
    return figure
