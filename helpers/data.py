"""The course's data as tensors: each file checked, each set with one split that is the same in every notebook.

A new data set is a file in data/ with its line in SHA256SUMS and in data/README.md, and a `load_…` here.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .core.batch import Named
from .page import CourseError

DATA = Path(__file__).resolve().parent.parent / "data"
CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
PICTURES = {  # the file, and the names of the classes in the order of their labels
    "mnist": ("mnist_10k.npz", [str(digit) for digit in range(10)]),
    "fashion_mnist": ("fashion_mnist_6k.npz", CLOTHES),
}
FACE_LABELS = ["glasses", "long hair", "hat"]
FONTS = ("sans", "reggae", "brush")
FAMOUS = [  # first lines of quatrains that a child learns by heart
    "春眠不覺曉", "白日依山盡", "紅豆生南國", "千山鳥飛絕", "松下問童子", "獨坐幽篁裏", "空山不見人", "君自故鄉來",
    "鋤禾日當午", "打起黃鶯兒", "綠螘新醅酒", "移舟泊煙渚", "日暮蒼山遠", "功蓋三分國", "北斗七星高", "向晚意不適",
]  # fmt: skip
TRAIN = 3400  # quatrains to train on; of the others, those that share no line with them are held out


@lru_cache
def data_file(name: str) -> Path:
    """The path of data/`name`, such as "mnist_10k.npz", once its SHA-256 is the one in data/SHA256SUMS.

    Raises
    ------
    CourseError
        When the file is missing, damaged or changed, or has no line in SHA256SUMS.
    """
    mend = "fetch the course again (git checkout data, or a new clone)"
    try:
        lines = (DATA / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        wanted = {path: digest for digest, path in (line.split(maxsplit=1) for line in lines if line.strip())}
        found = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise CourseError(f"data/{Path(error.filename).name} is missing: {mend}.") from None
    except ValueError:  # a line that is not a sum and a name, or no text at all
        raise CourseError(f"data/SHA256SUMS is damaged: {mend}.") from None
    if name not in wanted:
        raise CourseError(f"data/{name} stands in no line of data/SHA256SUMS: add it with its SHA-256.")
    if found != wanted[name]:
        raise CourseError(f"data/{name} is damaged or was changed ({found[:8]}…, not {wanted[name][:8]}…): {mend}.")
    return DATA / name


def write_sum(name: str) -> None:
    """Put the SHA-256 of data/`name`, which has just been made, into its line of data/SHA256SUMS."""
    sums = DATA / "SHA256SUMS"
    kept = [row for row in sums.read_text(encoding="utf-8").splitlines() if row.split(maxsplit=1)[1:] != [name]]
    digest = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    sums.write_text("\n".join([*kept, f"{digest}  {name}"]) + "\n", encoding="utf-8", newline="\n")
    data_file.cache_clear()


def load_pictures(name: str, size: int = 28) -> Named:
    """Small grey pictures, 0 (paper) to 1 (ink): digits (8,000 and 2,000 to test by) or clothes (4,000 and 2,000).

    Parameters
    ----------
    name : "mnist" or "fashion_mnist"
    size : 28, 14 or 7, in pixels
        To make them smaller, 2 × 2 or 4 × 4 pixels are averaged into one.

    Returns
    -------
    Named
        `x` (n, 1, size, size), `y` their labels (n,), `test_x`, `test_y`, and `names` of the classes.

    Raises
    ------
    CourseError
        For another name or size.
    """
    if name not in PICTURES or size not in (28, 14, 7):
        raise CourseError(
            f"load_pictures knows {' and '.join(PICTURES)} in sizes 28, 14, 7; asked for {name!r}, {size}."
        )
    file, names = PICTURES[name]
    stored = np.load(data_file(file))
    x = F.avg_pool2d(torch.tensor(stored["images"], dtype=torch.float32)[:, None] / 255, 28 // size)
    y = torch.tensor(stored["labels"], dtype=torch.long)
    return _split(f"the pictures of {name}", x, y, 2000, names)


def load_faces() -> Named:
    """4,000 faces in colour, 16 × 16 pixels from −1 to 1; the last 1,000 are to test by.

    Returns
    -------
    Named
        `x` (3000, 3, 16, 16), `y` (3000, 3) labels 0 or 1, `test_x`, `test_y`, and `names` of the three labels.
    """
    with np.load(data_file("pixel_faces_16.npz"), allow_pickle=False) as stored:
        x = torch.tensor(stored["images"]).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
        labels = [torch.tensor(stored[name.replace(" ", "_")]) for name in FACE_LABELS]
    return _split("the faces", x, torch.stack(labels, dim=1).float(), 1000, FACE_LABELS)


def _split(what: str, x: torch.Tensor, y: torch.Tensor, test: int, names: list[str]) -> Named:
    """The last `test` are held out: the files are mixed, and no picture stands in them twice."""
    return Named(what, {"x": x[:-test], "y": y[:-test], "test_x": x[-test:], "test_y": y[-test:], "names": names})


def face_sheet(pictures: torch.Tensor, columns: int) -> np.ndarray:
    """Faces side by side as one picture for `imshow`; places that are left in the last row stay white.

    Parameters
    ----------
    pictures : Tensor (n, 3, h, w), from −1 to 1; what goes beyond is cut off
    columns : int, how many stand in a row

    Returns
    -------
    array (rows · h, columns · w, 3), from 0 to 1

    Raises
    ------
    CourseError
        For another shape, or fewer columns than one.
    """
    pictures = torch.as_tensor(pictures).detach()
    if pictures.dim() != 4 or pictures.shape[1] != 3 or columns < 1:
        raise CourseError(f"face_sheet draws pictures (n, 3, h, w) in columns; it received {tuple(pictures.shape)}.")
    n, _, h, w = pictures.shape
    lines = -(-n // columns)
    sheet = torch.ones(lines * columns, 3, h, w)
    sheet[:n] = (pictures.float().cpu().clamp(-1, 1) + 1) / 2
    return sheet.view(lines, columns, 3, h, w).permute(0, 3, 1, 4, 2).reshape(lines * h, columns * w, 3).numpy()


def load_glyphs() -> Named:
    """2,000 Chinese characters in three fonts, 0 (paper) to 1 (ink), 32 × 32 pixels; every tenth is to test by.

    Returns
    -------
    Named
        `sans`, `reggae`, `brush` (1800, 1, 32, 32) with the string `characters`, row i the same character in each;
        `test_sans`, `test_reggae`, `test_brush` (200, 1, 32, 32) with `test_characters`; `missing_sans`
        (120, 1, 32, 32) with `missing`, characters that the font Reggae One lacks: nobody has their truth.
    """
    stored = np.load(data_file("glyph_pairs_32.npz"))
    letters = np.array(list(str(stored["chars"])))
    ink = lambda pixels: 1 - torch.tensor(pixels, dtype=torch.float32)[:, None] / 15  # noqa: E731 (15 is paper)
    test = np.arange(len(letters)) % 10 == 9  # the file goes from few strokes to many, so both parts have all kinds
    parts = {"missing": str(stored["missing_chars"]), "missing_sans": ink(stored["missing_sans"])}
    for prefix, part in (("", ~test), ("test_", test)):
        parts[f"{prefix}characters"] = "".join(letters[part])
        parts |= {f"{prefix}{font}": ink(stored[font][part]) for font in FONTS}
    return Named("the glyphs", parts)


def find_glyphs(text: str, glyphs: Named, most: int = 8) -> tuple[torch.Tensor, list[tuple[str, int]]]:
    """What was typed, as sans pictures, and where each character stands in `glyphs`.

    Parameters
    ----------
    text : str
        One to `most` characters; blanks are left out.
    glyphs : Named, from `load_glyphs`

    Returns
    -------
    Tensor (n, 1, 32, 32), list of (prefix, row)
        Such as [("", 5), ("test_", 0), ("missing_", 3)].

    Raises
    ------
    CourseError
        For a character that is not there, nothing at all, or too many.
    """
    typed = "".join(text.split())
    if not 1 <= len(typed) <= most:
        raise CourseError(f"You typed {len(typed)} characters: type 1 to {most}, such as {glyphs.missing[:2]}.")
    lists = {"": glyphs.characters, "test_": glyphs.test_characters, "missing_": glyphs.missing}
    places = []
    for character in typed:
        found = [(name, letters.index(character)) for name, letters in lists.items() if character in letters]
        if not found:
            count = sum(map(len, lists.values()))
            raise CourseError(f"“{character}” is not one of the {count:,} characters here: try {glyphs.missing[:8]}.")
        places += found
    return torch.stack([getattr(glyphs, f"{name}sans")[row] for name, row in places]), places


class Poems:
    """Poems of four lines as rows of 20 numbers, from 1 on; 0 stands for "nothing yet". Made by `load_poems`.

    Attributes
    ----------
    train, held_out : Tensor (3400, 20), (328, 20)
        Quatrains to train on, and such that none of their lines is trained on.
    famous : Tensor (n, 20)
        Those to train on that every child knows.
    left_out : int
        How many are neither, because a line of theirs is trained on.
    eight : Tensor (n, 20)
        Halves of poems of eight lines, with no line that is held out and no character that the quatrains lack.
    characters : list of str
        Number n stands for `characters[n - 1]`.
    rows : int
        How many quatrains the file has, those that stand there twice counted twice.
    """

    def __init__(self, quatrains: list[str], eight_lines: list[str]):
        texts = sorted({line.split("\t")[2].replace("，", "").replace("。", "") for line in quatrains})
        self.rows, self.different, self.characters = len(quatrains), len(texts), sorted(set("".join(texts)))
        self.number_of = {character: n + 1 for n, character in enumerate(self.characters)}
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
        mixed = torch.stack([self.read(text) for text in texts])[order]
        self.train, rest = mixed[:TRAIN], mixed[TRAIN:]
        self.held_out = apart(rest, self.train)
        self.famous = self.train[[self.write(text[:5]) in FAMOUS for text in self.train]]
        self.left_out = len(rest) - len(self.held_out)
        halves = [text[start : start + 20] for text in eight_lines for start in (0, 20)]
        known = [self.read(half) for half in halves if self.number_of.keys() >= set(half)]
        self.eight = apart(torch.stack(known) if known else mixed[:0], self.held_out)

    def read(self, text: str) -> torch.Tensor:
        """The numbers of the characters, (characters,); one that no quatrain has raises CourseError."""
        if unknown := [character for character in text if character not in self.number_of]:
            raise CourseError(
                f"“{unknown[0]}” is in none of the poems: type characters that they use, such as 春眠不覺."
            )
        return torch.tensor([self.number_of[character] for character in text], dtype=torch.long)

    def write(self, numbers: torch.Tensor) -> str:
        """The characters with these numbers, 0 as a dot: "··春眠"."""
        return "".join(["·", *self.characters][number] for number in numbers.tolist())


def load_poems() -> Poems:
    """3,957 quatrains (五言絕句) of the Tang, 3,772 of them different, and what `Poems` makes of them.

    >>> poems = load_poems()
    >>> poems.write(poems.read("春眠不覺曉"))
    '春眠不覺曉'
    """
    names = ("tang_quatrains.tsv", "tang_eight_lines.txt")
    quatrains, eight_lines = (data_file(name).read_text(encoding="utf-8").splitlines() for name in names)
    return Poems(quatrains[1:], eight_lines)


def apart(texts: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The poems that share no line with the others: old collections hold the same poem twice, a character changed."""
    taken = set(lines_of(others))
    return texts[[taken.isdisjoint(lines_of(text)) for text in texts]]


def lines_of(texts: torch.Tensor) -> list[tuple[int, ...]]:
    """Each line of five, as a tuple of numbers.

    Parameters
    ----------
    texts : Tensor (n, 20)
    """
    return [tuple(line) for line in texts.reshape(-1, 5).tolist()]


def examples_of(texts: torch.Tensor, before: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Poems cut into examples: what stood before, at which place, and the character that came.

    Parameters
    ----------
    texts : Tensor (n, 20), poems as numbers
    before : int, how many characters before

    Returns
    -------
    Tensor (n · 20, before), Tensor (n · 20,), Tensor (n · 20,)
        The `before` characters before, zeros where the poem has just begun; the place, 0 to 19; the character.
    """
    padded = F.pad(texts, (before, 0))  # (n, before + 20)
    windows = padded.unfold(1, before, 1)[:, :20].reshape(-1, before)  # (n · 20, before)
    return windows, torch.arange(20).repeat(len(texts)), texts.reshape(-1)
