"""pixel_faces_16.npz: faces put together by DiceBear's kit "pixel art", one for each seed, drawn at 16 pixels."""

import json
import shutil
from pathlib import Path

import numpy as np

from .packages import run

FACES = 4000


def faces(package, target):
    """Have node draw the faces (faces.mjs, which has to lie beside its packages), and pack what it wrote."""
    script = package / "faces.mjs"
    shutil.copy(Path(__file__).with_name("faces.mjs"), script)
    run(["node", script, str(FACES)], package)
    pack(package, target)


def pack(folder, target):
    """faces.bin (bytes, red, green, blue, alpha) and faces.json (each face's parts) as arrays."""
    parts = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
    pixels = np.fromfile(folder / "faces.bin", np.uint8).reshape(len(parts), 16, 16, 4)
    labels = {
        "glasses": ["glasses" in face for face in parts],
        "long_hair": [face.get("hair", "").startswith("long") for face in parts],
        "hat": ["hat" in face for face in parts],
    }
    arrays = {name: np.array(values).astype(np.uint8) for name, values in labels.items()}
    np.savez_compressed(target, images=pixels[..., :3], **arrays)
