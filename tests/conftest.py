"""Shared fixtures: notebooks and their cells, figures without a screen, and what counts as slow."""

import os
import shutil
import tempfile
from pathlib import Path

import matplotlib
import pytest
from order import Pieces, turn

matplotlib.use("agg")


def pytest_configure(config):
    """What trained_once/ does to each Python that the tests start: no network; one folder for what kernels train.

    The folder lives as long as the run of the tests, unless it was given: `COURSE_TRAINED=folder python3 tests/run.py …`
    """
    if not hasattr(config, "workerinput"):
        if not os.environ.get("COURSE_TRAINED"):
            config.trained = os.environ["COURSE_TRAINED"] = tempfile.mkdtemp()
        places = [str(Path(__file__).parent / "trained_once"), os.environ.get("PYTHONPATH")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))


def pytest_unconfigure(config):
    if hasattr(config, "trained"):
        shutil.rmtree(config.trained, ignore_errors=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if type(item).__name__ == "IPyNbCell" or "browser" in item.keywords:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: turn(item.nodeid))  # a stable sort: within a piece the order stays


def pytest_xdist_make_scheduler(config, log):
    if config.getoption("dist") == "loadscope":
        return Pieces(config, log)


@pytest.fixture(autouse=True)
def _automatic_device(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)


@pytest.fixture(scope="session")
def colab_python():
    """The Python of the environment with Colab's widget generation, made by tests/run.py."""
    python = os.environ.get("COURSE_COLAB_PYTHON")
    if not python:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("start the tests with `python3 tests/run.py`")
    return python
