"""A small class to try the grader on: good hand-ins, poor ones, copies, and some that attack. Students are numbers."""

import io
import json
import random
import stat
import struct
import zipfile
from pathlib import Path

GOOD = "def my_softmax(z):\n    e = np.exp(z - np.max(z))\n    return e / e.sum()\n"
CODES = {
    "right": GOOD,
    "with torch": "def my_softmax(z):\n    return torch.softmax(torch.tensor(z), dim=0)\n",
    "naive": "def my_softmax(scores):\n    return np.exp(scores) / np.exp(scores).sum()\n",
    "template": "def my_softmax(scores):\n    # Your code here.\n    return scores\n",
    "syntax": "def my_softmax(z)\n    return z\n",
    "needs scipy": "from scipy_of_tomorrow import softmax as my_softmax\n",
    "long": """def my_softmax(scores, temperature=1.0):
    # first the largest one, so that nothing overflows 先減掉最大的
    numbers = [float(s) for s in scores]
    top = numbers[0]
    for value in numbers:
        if value > top:
            top = value
    powers = []
    for value in numbers:
        powers.append(np.exp((value - top) / temperature))
    total = 0.0
    for power in powers:
        total = total + power
    shares = []
    for power in powers:
        shares.append(power / total)
    return np.array(shares)
""",
}
HOSTILE = {
    "endless loop": "while True:\n    pass\n",
    "fork bomb": "import os\nwhile True:\n    os.fork()\n",
    "sys.exit": "import sys\ndef my_softmax(z):\n    sys.exit(0)\n",
    "os._exit": "import os\ndef my_softmax(z):\n    os._exit(0)\n",
    "writes outside": "for place in ('/', '/tmp', '/usr', '..', '/var/tmp'):\n    open(place + '/owned.txt', 'w').write('x')\n",
    "much output": "import os\nwhile True:\n    print('x' * 1000000)\n    os.write(1, b'x' * 1000000)\n",
    "memory": "hog = []\nwhile True:\n    hog.append(bytearray(50_000_000))\n",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n    return f(n + 1)\nf(0)\n",
    "kills": "import os, signal\nfor n in (-1, 0, os.getppid(), *range(2, 40000)):\n    try:\n        os.kill(n, signal.SIGKILL)\n    except OSError:\n        pass\n",
    "forges": "import json, os\nos.write(3, json.dumps({'error': None, 'cases': [], 'printed': '', 'points': 100}).encode())\nos._exit(0)\n",
}
PROMPTS = [
    "請用高中生聽得懂的話，一步一步教我 Softmax，每一步都要有可以執行的程式和數字。",
    "I know Python lists only. Teach me softmax with three dishes as the example, and let me change the numbers.",
    "Teach me softmax in Colab, section by section, with Markdown explanations.",
    "把 Softmax 講成分蛋糕的故事，再給我一個可以拉的滑桿，我想看溫度的影響。",
]
DISCOVERIES = [
    "溫度從 1 降到 0.5 的時候，第一名從 0.705 變成 0.879，比我想的多很多。",
    "With 0.5, 0.4, 0.1 the winner gets only 0.388, less than it had: softmax does not always pull apart.",
    "三個一樣的分數都拿到 0.333，就算把它們全部加 100 也一樣。",
    "At T = 10 the five shares are all between 0.17 and 0.24, nearly equal.",
]


def pack(student, prompt, code, discovery, more=()):
    """A softmax_homework.zip as the course's page packs it."""
    packed = io.BytesIO()
    parts = {"student.txt": student, "prompt.txt": prompt, "discovery.txt": discovery}
    if code is not None:
        parts["my_softmax.py"] = "import numpy as np\nimport torch\n\n\n" + code
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in [*parts.items(), *more]:
            archive.writestr(name, text if isinstance(text, bytes) else text + "\n")
    return packed.getvalue()


def notebook(*cells):
    made = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


OWN = notebook(
    "%matplotlib inline\nimport numpy as np\nimport matplotlib.pyplot as plt\nfrom ipywidgets import interact",
    "def softmax(z):\n    e = np.exp(z - np.max(z))\n    return e / e.sum()",
    "def show(a=1.0, b=0.0, c=-1.0):\n    plt.bar(['a', 'b', 'c'], softmax(np.array([a, b, c])))\n    plt.show()\n\ninteract(show, a=(-5.0, 5.0), b=(-5.0, 5.0), c=(-5.0, 5.0))",
    "numbers = [float(x) for x in input('numbers: ').split(',')]\nprint(softmax(numbers))",
)


def odd_zips():
    """Zips that are no ordinary hand-ins: {what: bytes}."""
    odd = {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("prompt.txt", b"\0" * (300 << 20))  # 300 kB that unpack to 300 MB
    odd["zip bomb"] = out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("prompt.txt")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../../../tmp/owned.txt", "x")
        archive.writestr("/tmp/owned.txt", "x")
        archive.writestr("discovery.txt", DISCOVERIES[0])
    odd["links and paths"] = out.getvalue()
    inner = pack("", PROMPTS[1], CODES["right"], DISCOVERIES[1])
    for level in range(3):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(f"level{level}/作業.zip", inner)
        inner = out.getvalue()
    odd["zips in zips"] = inner
    odd["cut off"] = pack("", PROMPTS[0], CODES["right"], DISCOVERIES[0])[:200]
    odd["empty"] = b""
    return odd


def big5_zip(prompt, discovery):
    """A zip whose names are Big5, as an old Windows program packs it, and whose texts are Big5, too."""
    out, names = io.BytesIO(), {}
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in {"提示詞.txt": prompt, "我的發現.txt": discovery, "my_softmax.py": CODES["right"]}.items():
            raw = name.encode("cp950")
            plain = "xyz"[len(names)] * len(raw)
            names[plain.encode()] = raw
            archive.writestr(plain, text.encode("cp950"))
    data = out.getvalue()
    for plain, raw in names.items():
        data = data.replace(plain, raw)
    assert struct.unpack("<I", data[:4])[0] == 0x04034B50
    return data


def make_class(folder, seed=0):
    """Write a class of some forty students into `folder`, named as several LMS do; return the folder."""
    folder, chance = Path(folder), random.Random(seed)
    folder.mkdir(parents=True)
    number = iter(range(110_000_001, 110_001_000))

    def hand_in(data, pattern="{0}_{1}_assignsubmission_file_/softmax_homework.zip", student=None):
        student = student or next(number)
        path = folder / pattern.format(f"student-{student % 1000:03d} {student}", student % 1000 + 5000)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return student

    for place in range(8):
        code = [CODES["right"], CODES["with torch"]][place % 2]
        words = [p.replace("一步一步", f"分成 {place + 3} 步") for p in PROMPTS], DISCOVERIES
        hand_in(
            pack(
                f"{110_000_001 + place}",
                words[0][place % 4],
                code,
                f"{words[1][place % 4]} ({chance.randint(100, 999)})",
            )
        )
    for kind in ("naive", "template", "syntax", "needs scipy"):
        hand_in(
            pack(
                "",
                chance.choice(PROMPTS),
                CODES[kind],
                f"T = {chance.uniform(0.2, 3):.2f} gave {chance.uniform(0.4, 0.9):.3f}, which I did not expect",
            )
        )
    hand_in(pack("", PROMPTS[0], CODES["right"], "我什麼都沒發現，隨便寫寫 123456"))
    hand_in(pack("", "hi", CODES["right"], "It adds up to 1."))
    hand_in(pack("", PROMPTS[3], None, DISCOVERIES[2], [("my_own.ipynb", OWN)]))
    hand_in(
        pack("", PROMPTS[3], None, DISCOVERIES[3], [("link.txt", "https://colab.research.google.com/drive/0000000000")])
    )
    copied = "我試了五個分數 4、2、0、−2、−4，最大的拿到 0.865，最小的只剩 0.0003，差了將近三千倍，這是我沒有想到的。"
    hand_in(pack("", PROMPTS[1], CODES["long"], copied))
    renamed = (
        CODES["long"].replace("numbers", "xs").replace("powers", "es").replace("# first the largest one", "# mine")
    )
    hand_in(pack("", PROMPTS[2], renamed, copied.replace("這是我沒有想到的", "我真的沒有想到")))
    hand_in(big5_zip(PROMPTS[0], DISCOVERIES[0]))
    again = hand_in(pack("", "hello teacher", CODES["template"], "later"), "{0}_LATE_{1}_700001_softmax_homework.zip")
    hand_in(pack("", PROMPTS[1], CODES["right"], DISCOVERIES[1]), "{0}_LATE_{1}_700002_softmax_homework-1.zip", again)
    hand_in(OWN, "{0}_{1}_700003_my_notebook.ipynb")
    for code in HOSTILE.values():
        hand_in(
            pack(
                "",
                chance.choice(PROMPTS),
                code,
                f"I saw {chance.uniform(0.1, 0.9):.3f} where I expected a half, at temperature 2",
            )
        )
    for data in odd_zips().values():
        hand_in(data)
    return folder
