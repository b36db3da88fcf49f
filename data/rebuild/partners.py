"""partners_32.npz: heads of DiceBear's kit "toon head", some with a beard, some with long hair; a few exist both ways."""

import shutil
from pathlib import Path

import numpy as np

from .packages import run

TRAIN, HELD_OUT, SIDE = 1000, 200, 32


def partners(package, target):
    """Have node draw the heads (partners.mjs, which has to lie beside its packages), and pack what it wrote."""
    script = package / "partners.mjs"
    shutil.copy(Path(__file__).with_name("partners.mjs"), script)
    run(["node", script, str(TRAIN), str(HELD_OUT)], package)
    pack(package, target)


def pack(folder, target):
    """The five files of pixels (bytes, red, green, blue, alpha) as arrays (32 rows, people, 32, 3)."""
    files = {name: folder / f"{name}.bin" for name in ("beard", "hair", "beard_partner", "test_beard", "test_hair")}
    pixels = {name: np.fromfile(file, np.uint8).reshape(-1, SIDE, SIDE, 4) for name, file in files.items()}
    # Rows first: rows of different heads are often equal, and side by side they take half the room.
    np.savez_compressed(target, **{name: picture[..., :3].swapaxes(0, 1) for name, picture in pixels.items()})
