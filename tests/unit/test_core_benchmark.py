"""The benchmark runs; its figures are for people to read."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "bench_core.py"


@pytest.mark.weekly
def test_the_benchmark_runs():
    out = subprocess.run([sys.executable, str(BENCHMARK), "--quick"], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[2].split()[:4] == ["width", "batch", "members", "plain"]
    assert out.splitlines()[3].split()[:3] == ["8", "16", "2"]
