"""The course's small faces in colour, 16 × 16 pixels, as tensors: one split, the same in every notebook.

>>> faces = load_faces()
>>> faces.x.shape, faces.test_x.shape
(torch.Size([3000, 3, 16, 16]), torch.Size([1000, 3, 16, 16]))
>>> axes.imshow(face_sheet(faces.x[:100], columns=20))
"""

import numpy as np
import torch

from .errors import CourseError
from .files import data_file
from .members import Named

NAMES = ["glasses", "long hair", "hat"]  # the three labels, in their order
TEST = 1000  # the last ones: no picture stands on both sides, and their order is that of seeds, which means nothing


def load_faces():
    """`x` (3000, 3, 16, 16) from −1 to 1, `y` (3000, 3) labels 0 or 1, `test_x` and `test_y` (1000, …), and `names`.

    The first 3,000 pictures are to work with, the last 1,000 are held out.
    """
    with np.load(data_file("pixel_faces_16.npz"), allow_pickle=False) as stored:
        x = torch.tensor(stored["images"]).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
        labels = [torch.tensor(stored[name.replace(" ", "_")]) for name in NAMES]
    y = torch.stack(labels, dim=1).float()
    return Named(
        "the faces", {"x": x[:-TEST], "y": y[:-TEST], "test_x": x[-TEST:], "test_y": y[-TEST:], "names": NAMES}
    )


def face_sheet(pictures, columns):
    """Pictures (n, 3, h, w) from −1 to 1 as one picture (rows · h, columns · w, 3) from 0 to 1, for `imshow`.

    What goes beyond −1 and 1 is cut off; places that are left in the last row stay white.
    Another shape, or fewer columns than one, raises CourseError.
    """
    pictures = torch.as_tensor(pictures).detach()
    if pictures.dim() != 4 or pictures.shape[1] != 3 or columns < 1:
        raise CourseError(f"face_sheet draws pictures (n, 3, h, w) in columns; it received {tuple(pictures.shape)}.")
    n, _, h, w = pictures.shape
    lines = -(-n // columns)
    sheet = torch.ones(lines * columns, 3, h, w)
    sheet[:n] = (pictures.float().cpu().clamp(-1, 1) + 1) / 2
    return sheet.view(lines, columns, 3, h, w).permute(0, 3, 1, 4, 2).reshape(lines * h, columns * w, 3).numpy()
