"""Tang poems of five characters a line, as numbers: one vocabulary and one split, the same in every notebook."""

import torch

from .data import data_file
from .page import CourseError

FAMOUS = [  # first lines of quatrains that a child learns by heart
    "春眠不覺曉", "白日依山盡", "紅豆生南國", "千山鳥飛絕", "松下問童子", "獨坐幽篁裏", "空山不見人", "君自故鄉來",
    "鋤禾日當午", "打起黃鶯兒", "綠螘新醅酒", "移舟泊煙渚", "日暮蒼山遠", "功蓋三分國", "北斗七星高", "向晚意不適",
]  # fmt: skip
TRAIN = 3400  # quatrains to train on; of the others, those that share no line with them are held out


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
    padded = torch.nn.functional.pad(texts, (before, 0))  # (n, before + 20)
    windows = padded.unfold(1, before, 1)[:, :20].reshape(-1, before)  # (n · 20, before)
    return windows, torch.arange(20).repeat(len(texts)), texts.reshape(-1)
