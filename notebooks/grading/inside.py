"""All that touches what a student wrote: unpacking, reading, running. It happens in the sandbox, one hand-in at a time.

Each function here gets plain data and returns plain data, which the grader then takes as a stranger's word: it checks the
kinds and the sizes, and compares the numbers itself. So nothing is gained by forging an answer here.
"""

import ast
import base64
import builtins
import contextlib
import hashlib
import io
import json
import re
import sys
import tokenize
import types
import unicodedata
import warnings
import zipfile
import zlib

MEGABYTE = 1 << 20
IGNORED = re.compile(
    r"(^|/)(__MACOSX|\.ipynb_checkpoints|\.git)/|(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)$", re.I
)
SHOWN = 4000  # characters of what was printed that are kept


# Reading a hand-in -----------------------------------------------------------------------------------------------------


def text_of(data):
    """Decode bytes as UTF-8, UTF-16 (with its mark) or Big5, the three that Taiwan's computers write."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    for encoding in ("utf-8", "cp950"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", errors="replace")


def name_of(member):
    """A member's name as it was meant: zip programs store UTF-8 or the computer's own Big5 without saying which."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        raw = member.filename.encode("cp437")
    except UnicodeEncodeError:
        return member.filename
    return text_of(raw)


def unpack(data, limits, problems, depth=0, spent=None):
    """The files in a zip as [(name, time, bytes)], those of zips inside it too; nothing is written anywhere.

    What is refused (links, too much, too deep, unknown ways of packing) goes into `problems`.
    """
    spent = spent if spent is not None else {"bytes": 0, "files": 0, "over": False}
    files = []
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except Exception:
        problems.append(["zip_broken"])
        return files
    for member in members:
        name = name_of(member).replace("\\", "/")
        if member.is_dir() or IGNORED.search(name):
            continue
        spent["files"] += 1
        if not spent["over"] and spent["files"] > limits["files"]:
            problems.append(["zip_many", limits["files"]])
            spent["over"] = True
        if spent["over"]:  # of the zips around this one nothing more is read, either
            break
        if name.startswith("/") or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
            problems.append(["zip_outside", name[:100]])  # its contents may be read: nothing is ever written there
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            problems.append(["zip_link", name[:100]])
            continue
        if member.flag_bits & 1:
            problems.append(["zip_locked", name[:100]])
            continue
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problems.append(["zip_method", name[:100]])
            continue
        room = limits["unpacked_mb"] * MEGABYTE - spent["bytes"]
        try:
            with archive.open(member) as opened:
                content = opened.read(room + 1)
        except Exception:
            problems.append(["zip_member", name[:100]])
            continue
        if len(content) > room:
            problems.append(["zip_bomb", limits["unpacked_mb"]])
            spent["over"] = True
            break
        spent["bytes"] += len(content)
        if name.lower().endswith(".zip"):
            if depth >= 3:
                problems.append(["zip_deep", name[:100]])
            else:
                files += unpack(content, limits, problems, depth + 1, spent)
        else:
            files.append((name, list(member.date_time), content))
    return files


def kind_of(name, content):
    """Which part of the hand-in a file is, by its name, and by its content where the name says nothing."""
    base = name.rsplit("/", 1)[-1].lower()
    known = {"prompt.txt": "prompt", "my_softmax.py": "code", "discovery.txt": "discovery", "student.txt": "student"}
    if base in known:
        return known[base]
    if base.endswith(".ipynb"):
        return "notebook"
    if base.endswith(".py"):
        return "code" if b"my_softmax" in content else "extra"
    if base.endswith((".txt", ".md", ".url", ".webloc", ".html", ".htm")):
        words = text_of(content[:5000])
        if re.search(r"prompt|提示", base):
            return "prompt"
        if re.search(r"discover|發現|发现|心得", base):
            return "discovery"
        if re.search(r"https?://", words) and (re.search(r"link|url|連結|notebook", base) or len(words) < 600):
            return "link"
    return "extra"


def link_in(text):
    """The first web address in a text, without anything that is not part of one."""
    found = re.search(r"https?://[A-Za-z0-9./?=&#%_~:+@-]{4,500}", text)
    return found.group(0) if found else ""


def look(files, limits, **_):
    """Take a hand-in apart: {"parts": texts, "notebook": cells, "shape": …, "problems": […]}. Nothing in it is run.

    `files`: [[name, base64], …] as they lie in the folder of hand-ins.
    """
    problems, found = [], []
    for name, packed in files:
        content = base64.b64decode(packed)
        if content[:4] == b"PK\x03\x04" or name.lower().endswith(".zip"):
            found += [(name, *rest) for name, *rest in unpack(content, limits, problems)]
        elif content[:6] in (b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c") or content[:2] == b"\x1f\x8b":
            problems.append(["not_zip", name[-100:]])
        elif not IGNORED.search(name):
            found.append((name, [0], content))
    if not found and not problems:
        problems.append(["empty"])
    chosen = {}
    # Of two files for one part the one that lies higher counts, then the newer one, then the longer one.
    for name, _time, content in sorted(
        found, key=lambda file: (file[0].count("/"), [-n for n in file[1]], -len(file[2]))
    ):
        kind = kind_of(name, content)
        if kind in chosen and kind != "extra" and chosen[kind][1] != content:
            problems.append(["twice", kind, name[-100:]])
        if kind == "extra":
            chosen.setdefault("extra", []).append(name[-100:])
        elif kind not in chosen:
            chosen[kind] = (name, content)
    texts = {
        kind: text_of(chosen[kind][1])[:100_000]
        for kind in ("prompt", "code", "discovery", "student", "link")
        if kind in chosen
    }
    parts = {kind: texts[kind].replace("\x00", "").strip() for kind in ("prompt", "code", "discovery") if kind in texts}
    parts["code"] = re.sub(
        r"\Aimport numpy as np\nimport torch\n+", "", parts.get("code", "").replace("\r\n", "\n")
    )  # the packer's
    parts["student"] = texts.get("student", "").strip()[:60]
    parts["link"] = link_in(texts.get("link", ""))
    seen = {"parts": parts, "extra": sorted(chosen.get("extra", []))[:20], "problems": problems, "notebook": None}
    if "notebook" in chosen:
        cells = cells_of(chosen["notebook"][1])
        if cells is None:
            problems.append(["notebook_broken", chosen["notebook"][0][-100:]])
        else:
            seen["notebook"] = {"name": chosen["notebook"][0][-100:], "cells": cells}
            for kind, words in parts_in(cells).items():
                parts[kind] = parts.get(kind) or words
    seen["code"] = shape_of(parts.get("code", ""))
    own = "\n".join(text for kind, text in (seen["notebook"] or {"cells": []})["cells"] if kind == "code")
    seen["notebook_code"] = shape_of(without_magics(own)) if own else None
    return seen


def cells_of(data):
    """[(kind, text), …] of a notebook; None where it is none."""
    try:
        cells = json.loads(text_of(data))
        cells = (
            cells["cells"] if "cells" in cells else [cell for sheet in cells["worksheets"] for cell in sheet["cells"]]
        )
        listed = []
        for cell in cells[:1000]:
            text = cell.get("source", cell.get("input", ""))
            listed.append(
                [str(cell.get("cell_type", "code")), ("".join(text) if isinstance(text, list) else str(text))[:50_000]]
            )
        return listed
    except Exception:
        return None


def without_magics(code):
    """Code without the lines that only Jupyter reads, so that Python can parse it."""
    return re.sub(r"^(\s*)[%!?].*$", r"\1pass", code, flags=re.MULTILINE)


def parts_in(cells):
    """The parts that stand in a notebook as the course's page has them: PROMPT, DISCOVERY, my_softmax."""
    parts = {}
    for kind, text in cells:
        if kind != "code":
            continue
        try:
            tree = ast.parse(without_magics(text))
        except Exception:
            continue
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                parts |= {n.lower(): node.value.value.strip()[:100_000] for n in names if n in ("PROMPT", "DISCOVERY")}
            if isinstance(node, ast.FunctionDef) and node.name == "my_softmax":
                parts["code"] = text[:100_000]
    return parts


def comments_in(code):
    """The comments of a piece of code, one after the other."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code[:20_000]).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return ""
    return " ".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)[:2000]


def shape_of(code):
    """What is left of code without names, comments and layout: a fingerprint, its size, and its pieces' fingerprints."""
    shape = {
        "error": None,
        "defines": False,
        "size": 0,
        "shape": "",
        "pieces": [],
        "comments": comments_in(code),
        "modules": [],
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except SyntaxError as error:
        return shape | {"error": f"{type(error).__name__}: {error.msg}, line {error.lineno}"[:200]}
    except (ValueError, MemoryError, RecursionError) as error:
        return shape | {"error": type(error).__name__}
    modules, words, names = set(), [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
        named = isinstance(node, ast.FunctionDef) and node.name == "my_softmax"
        assigned = isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "my_softmax" for t in node.targets)
        shape["defines"] |= named or assigned

    def walk(node):
        """The tree in its order, each name by the order of its first use."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            return
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:]  # a docstring
        words.append(type(node).__name__)
        if isinstance(node, ast.Name):
            words.append(f"n{names.setdefault(node.id, len(names))}")
        elif isinstance(node, ast.arg):
            words.append(f"n{names.setdefault(node.arg, len(names))}")
        elif isinstance(node, ast.Attribute):
            words.append(node.attr)
        elif isinstance(node, ast.Constant):
            words.append(repr(node.value) if isinstance(node.value, int | float) and abs(node.value) < 1e15 else "text")
        for child in ast.iter_child_nodes(node):
            walk(child)

    try:
        walk(tree)
    except (RecursionError, MemoryError, ValueError, OverflowError):
        return shape | {"error": "RecursionError"}
    anonymous = [re.sub(r"^n\d+$", "n", word) for word in words]
    grams = [zlib.crc32(" ".join(anonymous[i : i + 9]).encode()) for i in range(max(1, len(anonymous) - 8))]
    windows = {min(grams[i : i + 5]) for i in range(max(1, len(grams) - 4))}
    digest = hashlib.sha256(" ".join(words).encode("utf-8", "replace")).hexdigest()[:24] if words else ""
    return shape | {
        "size": len(words),
        "shape": digest,
        "pieces": sorted(windows)[:1000],
        "modules": sorted(modules)[:50],
    }


# Running it ------------------------------------------------------------------------------------------------------------


def plain(text, most=300):
    """One line of printable text: what a student's program says is shown to people."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * most])
    return unicodedata.normalize("NFC", " ".join(kept.split()))[:most]


class Printed(io.TextIOBase):
    """Where printed text goes: the first part is kept, all the rest is only counted."""

    def __init__(self):
        self.kept, self.count = [], 0

    def writable(self):
        return True

    def write(self, text):
        text = str(text)
        if self.count < SHOWN:
            self.kept.append(text[: SHOWN - self.count])
        self.count += len(text)
        return len(text)

    def flush(self):
        pass

    def words(self):
        return "".join(self.kept)


def numbers_of(given):
    """What my_softmax returned as {"shape", "values"}, or {"error"} in words of Python."""
    import numpy as np

    if given is None:
        return {"error": "returned nothing"}
    given = given.detach() if hasattr(given, "detach") else given
    array = np.asarray(given, dtype=float)
    return {"shape": list(array.shape)[:5], "values": [float(value) for value in array.ravel()[:64]]}


def failure(error):
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    return {
        "error": f"{type(error).__name__}: {plain(error, 200)}".removesuffix(": "),
        "missing": missing and plain(missing, 50),
    }


def call_with(function, scores):
    """The answer to one list of scores; the function gets a copy of its own."""
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            return numbers_of(function(np.array(scores, dtype=float)))
    except (Exception, SystemExit) as error:
        return failure(error)


def run_code(code, cases, **_):
    """Run the student's cell by itself and ask its my_softmax: {"cases": […], "printed", "error"}."""
    import numpy as np
    import torch

    printed, alone = Printed(), {"__name__": "my_softmax", "np": np, "torch": torch}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(without_magics(code), "my_softmax.py", "exec"), alone)
        except (Exception, SystemExit) as error:
            return {**failure(error), "cases": [], "printed": printed.words()}
        if not callable(alone.get("my_softmax")):
            return {"error": "no my_softmax", "cases": [], "printed": printed.words()}
        answers = [call_with(alone["my_softmax"], scores) for scores in cases]
    return {"error": None, "cases": answers, "printed": printed.words()}


class NotHere(ModuleNotFoundError):
    """Something that exists on Colab only."""


def colab_stand_in():
    """Modules in the place of google.colab, whose calls do nothing: a notebook made there begins with them."""
    colab = types.ModuleType("google.colab")

    def silent(name):
        part = types.ModuleType(f"google.colab.{name}")
        part.__getattr__ = lambda attribute: lambda *_, **__: {} if attribute == "upload" else None
        return part

    google = sys.modules.get("google") or types.ModuleType("google")
    google.colab, google.__path__, colab.__path__ = colab, getattr(google, "__path__", []), []
    sys.modules |= {"google": google, "google.colab": colab}
    for name in ("files", "output", "drive", "data_table", "userdata", "widgets", "patches"):
        setattr(colab, name, silent(name))
        sys.modules[f"google.colab.{name}"] = getattr(colab, name)


def shell_of():
    """The IPython shell, without a history, in which commands to the computer are skipped. The sandbox makes it beforehand."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.HistoryManager.hist_file = ":memory:"
    settings.InteractiveShell.colors = "NoColor"
    settings.InteractiveShell.xmode = "Plain"
    shell = InteractiveShell.instance(config=settings)

    def skipped(command="", *_, **__):
        print(f"(not run here: {plain(command, 80)})")

    shell.system = shell.system_piped = shell.system_raw = skipped
    shell.getoutput = lambda *_, **__: []
    for magic in ("pip", "conda", "mamba", "uv", "matplotlib", "sx", "system"):
        shell.register_magic_function(skipped, "line", magic)
    for magic in ("bash", "sh", "script", "system", "sx", "javascript", "js", "html", "HTML"):
        shell.register_magic_function(skipped, "cell", magic)
    shell.showtraceback = lambda *_, **__: None
    shell.showsyntaxerror = lambda *_, **__: None
    return shell


def run_notebook(cells, cases, **_):
    """Run a notebook from top to bottom and ask every function in it that looks like a softmax.

    {"cells": how many hold code, "ran": how many ran without an error, "errors": the first few, "functions":
    {name: answers}, "widgets": how many sliders and boxes, "asked": how often it asked for typed input, "printed"}.
    A cell that fails because nobody types here is tried again with other answers.
    """
    import matplotlib

    matplotlib.use("agg")
    colab_stand_in()
    printed, asked = Printed(), []
    replies = ["2, 1, -1", "2 1 -1", "3"]
    choice = [0]

    def typed(*_):
        asked.append(1)
        if len(asked) > 200:
            raise EOFError("input() was called more than 200 times")
        return replies[choice[0]]

    builtins.input, made = typed, []
    with contextlib.suppress(ImportError):
        from ipywidgets import Widget

        touched = ("Slider", "Text", "Textarea", "Button", "Dropdown", "Checkbox")
        Widget.on_widget_constructed(lambda widget: type(widget).__name__.endswith(touched) and made.append(1))
    errors, ran, count = [], 0, 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        shell = shell_of()
        import matplotlib.pyplot as plt

        for number, (kind, text) in enumerate(cells, 1):
            if kind != "code" or not text.strip():
                continue
            count += 1
            for choice[0] in range(len(replies)):
                before = len(asked)
                result = shell.run_cell(text, store_history=False)
                error = result.error_before_exec or result.error_in_exec
                if error is None or len(asked) == before:
                    break
            ran += error is None
            if error is not None and len(errors) < 5:
                errors.append({"cell": number, **failure(error)})
            plt.close("all")
        functions = {}
        for name, value in list(shell.user_ns.items()):
            if isinstance(value, types.FunctionType) and re.search(r"soft_?max", name, re.I) and len(functions) < 8:
                functions[plain(name, 50)] = [call_with(value, scores) for scores in cases]
    return {
        "cells": count, "ran": ran, "errors": errors, "functions": functions, "widgets": len(made), "asked": len(asked),
        "printed": printed.words(),
    }  # fmt: skip


JOBS = {"look": look, "code": run_code, "notebook": run_notebook}
