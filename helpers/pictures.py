"""The course's small grey pictures, digits and clothes, as tensors: one split, the same in every notebook.

>>> digits = load_pictures("mnist", size=14)
>>> digits.x.shape, digits.test_x.shape
(torch.Size([8000, 1, 14, 14]), torch.Size([2000, 1, 14, 14]))
"""

import numpy as np
import torch
import torch.nn.functional as F

from .errors import CourseError
from .files import data_file
from .members import Named

# The names of the classes, in the order of their labels.
NAMES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion_mnist": ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"],
}
FILES = {"mnist": "mnist_10k.npz", "fashion_mnist": "fashion_mnist_6k.npz"}
TEST = 2000  # the last ones; both files are mixed


def load_pictures(name, size=28):
    """`x` (pictures, 1, size, size) from 0 (paper) to 1 (ink), `y` their labels, `test_x`, `test_y`, and `names`.

    name: "mnist" (8,000 digits and 2,000 to test by) or "fashion_mnist" (4,000 and 2,000 pieces of clothing).
    size: 28, 14 or 7; to make them smaller, 2 × 2 or 4 × 4 pixels are averaged into one.
    Another name or size raises CourseError.
    """
    if name not in FILES or size not in (28, 14, 7):
        raise CourseError(f"load_pictures knows {' and '.join(FILES)} in sizes 28, 14, 7; asked for {name!r}, {size}.")
    stored = np.load(data_file(FILES[name]))
    x = F.avg_pool2d(torch.tensor(stored["images"], dtype=torch.float32)[:, None] / 255, 28 // size)
    y = torch.tensor(stored["labels"], dtype=torch.long)
    parts = {"x": x[:-TEST], "y": y[:-TEST], "test_x": x[-TEST:], "test_y": y[-TEST:], "names": NAMES[name]}
    return Named(f"the pictures of {name}", parts)
