"""toon_heads_48.npz: heads put together by DiceBear's kit "toon head", one for each seed, each with its sketch."""

import shutil
from pathlib import Path

import numpy as np

from .packages import run

HEADS, DRAWN, SIDE = 2600, 144, 48


def heads(package, target):
    """Have node draw the heads (heads.mjs, which has to lie beside its packages), and pack what it wrote."""
    script = package / "heads.mjs"
    shutil.copy(Path(__file__).with_name("heads.mjs"), script)
    run(["node", script, str(HEADS)], package)
    pack(package, target)


def pack(folder, target):
    """heads.bin and plain.bin (bytes, red, green, blue, alpha) as pictures of 32 levels, and sketches as bits."""
    drawn, plain = (
        np.fromfile(folder / f"{name}.bin", np.uint8).reshape(-1, DRAWN, DRAWN, 4)[..., :3]
        for name in ("heads", "plain")
    )
    small = np.concatenate([shrink(part) for part in np.array_split(drawn, 1 + len(drawn) // 100)])
    lines = np.concatenate([sketch(part) for part in np.array_split(plain, 1 + len(plain) // 100)])
    levels = np.round(small * 31 / 255).astype(np.uint8)
    # Rows first: rows of different heads are often equal, and side by side they take half the room.
    np.savez_compressed(target, images=levels.swapaxes(0, 1), sketches=np.packbits(lines, axis=-1))


def shrink(pictures):
    """The mean of each 3 × 3 pixels: (n, 144, 144, ...) → (n, 48, 48, ...)."""
    blocks = pictures.reshape(len(pictures), SIDE, 3, SIDE, 3, *pictures.shape[3:])
    return blocks.mean(axis=(2, 4))


def sketch(pictures):
    """1 where at least a fifth of 3 × 3 pixels differ clearly from their left or upper neighbour: (n, 48, 48)."""
    pictures, edge = pictures.astype(np.int16), np.zeros(pictures.shape[:3], bool)
    for axis, place in ((1, np.s_[:, 1:]), (2, np.s_[:, :, 1:])):
        edge[place] |= np.abs(np.diff(pictures, axis=axis)).max(axis=-1) > 40
    return (shrink(edge) > 0.2).astype(np.uint8)
