"""Keys: found where they belong, looked at before they are sent, shown nowhere, hunted for everywhere."""

import base64
import copy
import io
import json
import pickle
import sys
import traceback
import types
import urllib.parse
import zipfile
from pathlib import Path

import pytest
from notebook_code import run_cells

from helpers import CourseError
from helpers.services import Key, ServiceError, find_key

SECRET = "not-a-key-0123456789-abcdef"
leaks = run_cells("11", "hunt-code", "leaks-code", io=io, Path=Path, CourseError=CourseError)["leaks"]  # the page's own


@pytest.mark.parametrize(
    "bad",
    ["", "   ", None, "''", "YOUR_API_KEY", "your api key", "<YOUR_API_KEY>", "API_KEY", "abc def ghi jkl mno", "line\nbreak-0123456789",
     "鑰匙鑰匙鑰匙鑰匙鑰匙鑰匙鑰匙鑰匙", "short", "tab\tinside-0123456789", "zero-width\u200b-0123456789", "café-0123456789-abc"],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_a_key_gets_a_sentence(bad):
    with pytest.raises(ServiceError) as caught:
        Key(bad)
    assert caught.value.kind == "key" and str(caught.value).startswith("This key ")
    assert not bad or len(bad.strip("' ")) < 6 or bad not in str(caught.value), "the sentence does not repeat it"


@pytest.mark.parametrize(
    "given", [SECRET, f"  {SECRET}\n", f'"{SECRET}"', f"「{SECRET}」", f"“{SECRET}”", f"'{SECRET}' "]
)
def test_blanks_and_quotes_around_a_key_go(given):
    assert Key(given).reveal() == SECRET


def test_a_key_shows_its_length_only():
    key = Key(SECRET)
    shown = [
        repr(key),
        str(key),
        f"{key}",
        f"{key!s:>60}",
        f"{[key]} { ({'k': key}) }",
        repr(vars(key)),
        " ".join(map(str, dir(key))),
    ]
    try:
        raise ValueError(f"bad key {key}")
    except ValueError:
        shown.append(traceback.format_exc())
    assert leaks(key, *shown) == [] and f"{len(SECRET)} characters" in repr(key)
    for write in (json.dumps, pickle.dumps, copy.deepcopy):
        with pytest.raises((TypeError, ServiceError)):
            write(key)


def test_every_planted_leak_is_found_and_nothing_else(tmp_path):
    key, coded = Key(SECRET), [base64.b64encode(b"x" * n + SECRET.encode() + b"y").decode() for n in range(3)]
    texts = [
        f"…{SECRET}…",
        SECRET[3:20],
        urllib.parse.quote(SECRET),
        f"?key={SECRET}&x",
        json.dumps({"k": SECRET}),
        *coded,
    ]
    assert leaks(key, *texts) == [f"text {n}" for n in range(1, len(texts) + 1)]
    assert leaks(key, SECRET.encode()) == ["text 1"]
    assert leaks(key, "", "not-a-key", SECRET[:11], SECRET[::-1], str(key), b"\xff\xfe") == []
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    (inner / "a.txt").write_text(SECRET)
    (tmp_path / "b.bin").write_bytes(b"\0\1" + SECRET.encode())
    (tmp_path / "clean.txt").write_text("nothing")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("log/run.json", SECRET * 3)
        packed.writestr("fine.txt", "x")
    assert sorted(leaks(key, tmp_path)) == ["b.bin", "c.zip/log/run.json", "deep/er/a.txt"]
    assert leaks(key, tmp_path / "clean.txt") == [] and leaks(key, tmp_path / "b.bin") == ["b.bin"]


def test_two_files_of_one_name_are_two(tmp_path):
    for folder, text in (("a", SECRET), ("b", "nothing"), ("c", SECRET)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "run.json").write_text(text)
    assert leaks(Key(SECRET), tmp_path) == ["a/run.json", "c/run.json"]


def test_what_cannot_be_searched_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hand_in").mkdir()
    (tmp_path / "hand_in" / "x.txt").write_text(SECRET)
    bad = [Path("not-there"), "hand_in", "hand_in/x.txt", [Path("hand_in")], None, 12, tmp_path / SECRET]
    for place in bad:
        with pytest.raises(CourseError) as caught:
            leaks(Key(SECRET), place)
        assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    assert leaks(Key(SECRET), Path("hand_in")) == ["x.txt"]


def test_names_utf16_and_zips_in_zips(tmp_path):
    for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        (tmp_path / f"{code}.txt").write_bytes(f"key: {SECRET}".encode(code))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("deep.txt", SECRET)
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("in.zip", inner.getvalue())
    assert leaks(Key(SECRET), tmp_path) == [
        *("utf-16-be.txt", "utf-16-le.txt", "utf-16.txt", "utf-32.txt", "z.zip/in.zip/deep.txt")
    ]
    named = tmp_path / "named"
    (named / f"run-{SECRET}").mkdir(parents=True)
    (named / "log" / "x").mkdir(parents=True)
    (named / "log" / f"{SECRET}.txt").write_text("nothing")
    found = leaks(Key(SECRET), named)
    assert len(found) == 2 and "log/(a name with the key)" in found and SECRET not in str(found)


def test_a_zip_that_cannot_be_opened_is_named_and_the_rest_is_searched(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("one.txt", "nothing " * 50)
        packed.writestr("two.txt", SECRET)
    whole = path.read_bytes()
    (tmp_path / "b.txt").write_text(SECRET)
    note = " (could not be opened: look yourself)"
    path.write_bytes(whole[:60])
    assert leaks(Key(SECRET), tmp_path) == [f"a.zip{note}", "b.txt"]
    locked = bytearray(whole)  # the flag of a password, in both headers of the first file
    locked[6] |= 1
    locked[whole.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(locked))
    assert leaks(Key(SECRET), tmp_path) == [f"a.zip/one.txt{note}", "a.zip/two.txt", "b.txt"]


def colab(monkeypatch, get):
    userdata = types.ModuleType("google.colab.userdata")
    userdata.get = get
    package = types.ModuleType("google.colab")
    package.userdata = userdata
    google = sys.modules.get("google") or types.ModuleType("google")
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(google, "colab", package, raising=False)


def test_colabs_secret_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "from-the-environment-1")
    assert find_key().reveal() == "from-the-environment-1"
    colab(monkeypatch, lambda name: f" from-the-secrets-{name}\n")
    assert find_key().reveal() == "from-the-secrets-GEMINI_API_KEY"


@pytest.mark.parametrize(
    "name, says",
    [("SecretNotFoundError", "Add new secret"), ("NotebookAccessError", "turn on the switch"), ("TimeoutException", "Colab's own page"), ("OddError", "OddError")],
)  # fmt: skip
def test_colabs_refusals_say_which_switch_to_turn(monkeypatch, name, says):
    def get(secret):
        raise type(name, (Exception,), {})(f"no {secret}, but {SECRET}")

    colab(monkeypatch, get)
    with pytest.raises(ServiceError) as caught:
        find_key()
    assert caught.value.kind == "key" and says in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_no_key_is_a_sentence_and_no_question(monkeypatch, empty):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    with pytest.raises(ServiceError, match="There is no key") as caught:
        find_key()
    assert caught.value.kind == "key"
    colab(monkeypatch, lambda name: empty)
    with pytest.raises(ServiceError, match="holds no key yet"):
        find_key()
