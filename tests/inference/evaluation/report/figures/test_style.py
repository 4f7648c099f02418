"""Figures as files: for the page small, and to the eye the same."""

import cv2
import numpy as np
import pytest

from inference.evaluation.report.figures import style


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)


@pytest.mark.parametrize(("noise", "largest"), [(0, 0), (300, 40)])
def test_a_page_has_lines_without_loss_and_images_small(noise, largest):
    with style.styled():
        figure = style.new_figure(4, width=6)
        axes = figure.subplots()
        rough = cv2.GaussianBlur(noise * np.random.default_rng(0).random((300, 500)), (0, 0), 2)
        axes.imshow(np.linspace(0, 100, 500) + rough if noise else np.zeros((300, 500)), cmap="inferno")
        drawn = style.png(figure)
    small = style.for_page(drawn)
    off = np.abs(decoded(small) - decoded(drawn))
    assert small[8:12] == b"WEBP"
    assert off.mean() <= largest / 10
    assert len(small) < len(drawn) / (2 if noise else 1)


def test_margins_are_cut_off():
    with style.styled():
        figure = style.new_figure(6, width=6, layout="compressed")
        figure.subplots(1, 4)[0].imshow(np.zeros((9, 9)))
        ink = (decoded(style.png(figure)) < 250).any(axis=-1)
    rows, columns = np.nonzero(ink.any(axis=1))[0], np.nonzero(ink.any(axis=0))[0]
    assert rows[0] < 20 and ink.shape[0] - rows[-1] < 20
    assert columns[0] < 20 and ink.shape[1] - columns[-1] < 20
