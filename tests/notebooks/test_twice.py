"""Every code cell runs twice in a row, on one thread and without vector instructions, and says what is stored."""

import sys

import nbformat
import pytest
from common import masters
from kernels import kernel_for, run, text_of

IGNORED = {"nbval-ignore-output", "nbval-skip"}


@pytest.mark.slow
@pytest.mark.parametrize("path", masters(), ids=lambda path: path.stem)
def test_every_cell_runs_twice(path, tmp_path, monkeypatch):
    kernel = kernel_for(sys.executable, tmp_path, monkeypatch, ATEN_CPU_CAPABILITY="default", OMP_NUM_THREADS="1")
    stored = nbformat.read(path, as_version=4)
    doubled = nbformat.from_dict(stored)
    doubled.cells = [nbformat.from_dict({**cell, "id": f"{cell.id}-{n}"}) for cell in stored.cells for n in (1, 2)]
    run(doubled, path.parent, kernel)
    for cell, first, second in zip(stored.cells, doubled.cells[::2], doubled.cells[1::2], strict=True):
        if cell.cell_type == "code" and not IGNORED & set(cell.metadata.get("tags", [])):
            assert text_of(first) == text_of(cell), f"{cell.id}, the first time"
            assert text_of(second) == text_of(cell), f"{cell.id}, the second time"
