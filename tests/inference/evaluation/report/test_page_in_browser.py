"""The page in a real browser, where there is one: it shows itself, its images included, in light and in dark."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

from inference.evaluation.report import write
from inference.evaluation.report.shots import Estimate
from inference.evaluation.report.write import Report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on PATH to open a page in")


def test_a_page_shows_its_images_in_light_and_dark(make, tmp_path):
    shot = make(count=1, ground_truth=False, plate=False, estimates=(Estimate(name="e", disparity=make.right),))
    file = write.write(Report(title="t", shots=(shot,)), tmp_path / "report")
    for scheme, ground in ((1, (0xF6, 0xF6, 0xF4)), (0, (0x17, 0x18, 0x1B))):
        image = tmp_path / f"{scheme}.png"
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
        command += ["--window-size=1400,1200", f"--screenshot={image}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        seen = cv2.imread(str(image))[..., ::-1].astype(int)
        assert np.abs(seen[2, 2] - ground).max() <= 2, "the ground is the scheme's"
        assert (np.ptp(seen, axis=-1) > 60).mean() > 0.02, "the depth is there, in color"
