"""Runs English notebooks and stores their outputs, ready for a page without a kernel and for nbval.

    python3 tests/tools/execute.py 01            # by number or name; all without a word
    COURSE_BUDGET=full python3 tests/tools/execute.py 08    # on the longer budget, where a notebook has one

Widget views are taken out of the outputs (they mean nothing without their kernel): their static picture is shown then.
Afterwards run build_zh_tw.py, which copies the outputs into the Chinese edition.
"""

import base64
import io
import os
import sys
import time
from queue import Empty

import nbformat
import numpy as np
from common import chosen, write_notebook
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

WIDGET = "application/vnd.jupyter.widget-view+json"


class Client(NotebookClient):
    """Works round a race in nbclient that plain `interact` meets about once in twenty notebooks.

    Serving an Output widget, nbclient sends on the very socket on which it awaits the cell's reply, and then may not be
    woken by that reply before the cell's whole time-out is over. Looking again every second finds it.
    """

    async def async_start_new_kernel_client(self, **options):
        client = await super().async_start_new_kernel_client(**options)
        channel, look = client.shell_channel, client.shell_channel.get_msg

        async def get_msg(timeout=None):
            ends = time.monotonic() + (float("inf") if timeout is None else timeout)
            while True:
                try:
                    return await look(timeout=max(0, min(1, ends - time.monotonic())))
                except Empty:
                    if time.monotonic() >= ends:
                        raise

        channel.get_msg = get_msg
        return client


def tidy(notebook):
    """Keep what a reader or nbval needs of a notebook: no widget views, no timings, no version of this machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
            output.get("metadata", {}).clear()
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = small(output["data"]["image/png"])
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)


def small(picture):
    """The same PNG, in base64, at half the size: 256 colours where nobody sees the difference, else without a mask."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as whole:
        if whole.mode == "P":
            return picture
        paper = Image.new("RGBA", whole.size, "white")  # below what is transparent
        whole = Image.alpha_composite(paper, whole.convert("RGBA")).convert("RGB")
    few = whole.quantize(256, kmeans=3)
    far = np.abs(np.asarray(whole, int) - np.asarray(few.convert("RGB"), int)).mean()
    packed = io.BytesIO()
    (few if far < 1.5 else whole).save(packed, "PNG", optimize=True)
    return min(picture, base64.b64encode(packed.getvalue()).decode(), key=len)


def join_streams(outputs):
    """Join what was printed in several pieces: where they were cut is chance, and would show in every diff."""
    joined = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream" and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def execute(path):
    notebook = nbformat.read(path, as_version=4)
    started = time.perf_counter()
    limit = 3 * 3600 if os.environ.get("COURSE_BUDGET") == "full" else 900  # seconds for one cell
    Client(notebook, timeout=limit, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    tidy(notebook)
    notebook.nbformat_minor = 5
    write_notebook(path, nbformat.from_dict(_split_lines(notebook)))
    print(f"{path.name}: {time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e6:.2f} MB")


def _split_lines(notebook):
    """Texts as lists of lines, as Jupyter stores them, so that diffs read well."""
    return nbformat.v4.rwbase.split_lines(notebook)


if __name__ == "__main__":
    os.environ["COURSE_PROGRESS"] = "0"  # a bar is for who waits: stored, it would stand on the page for ever
    for path in chosen(sys.argv[1:]):
        try:
            execute(path)
        except CellExecutionError as error:
            sys.exit(f"{path.name}: {error}")
