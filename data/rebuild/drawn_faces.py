"""drawn_faces.npz: faces that notebook 08's generator drew with its shipped weights, sorted by what the judge sees.

Of 40,000 drawn faces up to 48 are kept for each of the eight answers to: glasses? long hair? a hat? The first of which the
judge is at least 90 % sure; where there are fewer, the surest.
"""

import json

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers import check, data_file, face_judge, face_labels, load_weights
from helpers.data import DATA

DRAWN, KEPT = 40_000, 48
CELLS = ["mapping-code", "mapping-net", "modulated-code", "layer-code", "sizes", "generator-code"]


def generator():
    """Notebook 08's generator, from its own cells, with the shipped weights."""
    path = next((DATA.parent / "notebooks").glob("08_*.ipynb"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    names = {"torch": torch, "nn": nn, "F": F, "check": check}
    for name in CELLS:
        exec(compile(cells[name], f"08:{name}", "exec"), names)
    stored = json.loads(data_file("results/08_faces.json").read_text(encoding="utf-8"))
    return load_weights("08_faces", {"G": names["Generator"]()}, stored["settings"])["G"]


def draw(path):
    """Draw the faces and write them to `path`: `images` (n, 16, 16, 3) and `labels` (n, 3), unsigned bytes."""
    draws, chance, judge = generator(), torch.Generator().manual_seed(11), face_judge()
    with torch.no_grad():
        pieces = [
            draws(torch.randn(500, 64, generator=chance), torch.zeros(500, 5, 16, 16)) for _ in range(DRAWN // 500)
        ]
    faces = torch.cat(pieces).clamp(-1, 1)
    labels, sure = face_labels(judge, faces)
    kind, kept = labels.long() @ torch.tensor([4, 2, 1]), []
    for number in range(8):
        (those,) = torch.where(kind == number)
        kept.append(those[sure[those].clamp(max=0.9).argsort(descending=True, stable=True)][:KEPT])
    kept = torch.cat(kept)
    images = ((faces[kept] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    np.savez_compressed(path, images=images, labels=labels[kept].byte().numpy())
