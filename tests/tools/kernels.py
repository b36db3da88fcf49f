"""Runs notebooks in kernels of other environments and in other folders, for the tests."""

import json
import os
import re
from pathlib import Path

import nbformat
from execute import Client


def kernel_for(python, folder, monkeypatch, **environment):
    """Make a kernel named `other` that runs `python`, with extra environment variables; return its name."""
    spec = Path(folder) / "kernels" / "other"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.joinpath("kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "other", "language": "python", "env": environment})
    )
    monkeypatch.setenv("JUPYTER_PATH", f"{folder}{os.pathsep}{os.environ.get('JUPYTER_PATH', '')}")
    return "other"


def run(notebook, folder, kernel="python3", allow_errors=False):
    """Execute a notebook (a path or an object) in `folder`; return it with its outputs."""
    if not isinstance(notebook, nbformat.NotebookNode):
        notebook = nbformat.read(notebook, as_version=4)
    Client(
        notebook,
        timeout=1200,
        kernel_name=kernel,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def text_of(cell):
    """What nbval compares of a cell: printed text and the words of what is displayed, without escape codes."""
    parts = []
    for output in cell.get("outputs", []):
        text = (
            output.get("text") or output.get("data", {}).get("text/plain", "") or "\n".join(output.get("traceback", []))
        )
        parts.append("".join(text))
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(parts)).strip()
