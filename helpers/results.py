"""Tables of long experiments: a notebook's own code makes them with COURSE_BUDGET=full, and reads them otherwise.

COURSE_BUDGET=full python3 tests/tools/execute.py 04      # makes data/results/04_*.json anew, then build_zh_tw.py
"""

import json
import os
import platform

import numpy as np
import torch

from .files import DATA, data_file, write_sum


def full_budget():
    """Whether the long experiments are to be run now, instead of read from data/results/."""
    return os.environ.get("COURSE_BUDGET") == "full"


def save_results(name, settings, values, seconds):
    """Write data/results/`name`.json with its settings, the versions and the duration, and its sum into SHA256SUMS.

    settings: what the table was made with; values: what came out, nested dicts and lists of numbers.
    """
    made = {"settings": settings, "versions": versions(), "minutes": round(seconds / 60, 1), "values": values}
    path = DATA / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8", newline="\n")
    write_sum(f"results/{name}.json")


def load_results(name):
    """The stored table `name`: {"settings", "versions", "minutes", "values"}; raises CourseError if it is damaged."""
    return json.loads(data_file(f"results/{name}.json").read_text(encoding="utf-8"))


def versions():
    """The versions that a result depends on, {package: version}."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
