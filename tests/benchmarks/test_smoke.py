"""The benchmarks still run; how fast things are is for a person to read, never a test's business."""

import bench_sliders
import pytest


@pytest.mark.weekly
def test_sliders(capsys):
    times = bench_sliders.main(["--quick"])
    assert set(times) == {"interact + plt.show()", "live figure", "live figure, moving="}
    assert capsys.readouterr().out.count("ms a move") == 3
