"""A small class to try the grader on: good hand-ins, poor ones, copies, and some that attack. Students are numbers."""

import io
import json
import random
import stat
import struct
import zipfile
from pathlib import Path

from grading.marking import own_scores, right_answer

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
    "Explain why the exponential and not the square, with a table of both, then quiz me three times.",
    "我數學不好。請先不要用公式，從投票開始講，最後才給我公式，並且畫長條圖。",
    "Make a notebook of ten cells on softmax. After each cell ask me what I expect before I run it.",
    "請假裝你是小學老師，用五個分數當例子，示範溢位是怎麼發生的，以及怎麼避免。",
]
DISCOVERIES = [
    "溫度從 1 降到 0.5 的時候，第一名從 0.705 變成 0.879，比我想的多很多。",
    "With 0.5, 0.4, 0.1 the winner gets only 0.388, less than it had: softmax does not always pull apart.",
    "三個一樣的分數都拿到 0.333，就算把它們全部加 100 也一樣。",
    "At T = 10 the five shares are all between 0.17 and 0.24, nearly equal.",
    "最大的分數只多 2，就變成 7.389 倍，差距一樣、倍數就一樣。",
    "The loser of 1000 against 0 gets exactly 0, not just something small; at 700 it was still 1e-304.",
    "多放一個很高的第三個選項，前兩個的比值還是 2.718，完全沒有變。",
    "I multiplied all scores by 3 and got the same picture as with temperature 0.333.",
    "負的分數也可以：−5 還是拿得到 0.0018，不會變成零。",
    "Ten equal scores and one that is ahead by 2.3: the leader gets one half of everything.",
    "把輸出再做一次 softmax，大家就越來越平均，第四次之後都是 0.33。",
    "When I raised the second score by 1 the others all fell by the same part, 27 percent each.",
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


OTHER = notebook(
    "import numpy as np",
    "def softmax_of(rain, sun, cloud):\n    powers = np.exp([rain, sun, cloud])\n    return powers / powers.sum()",
    "rain = float(input('rain: '))\nprint(softmax_of(rain, 0.0, 1.0))",
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
        archive.writestr("discovery.txt", "四比一的時候是 0.953。")
    odd["links and paths"] = out.getvalue()
    inner = pack("", PROMPTS[2], CODES["right"], "Three zips deep, and 0.665 for a lead of one.")
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
        hand_in(pack(f"{110_000_001 + place}", PROMPTS[place], code, DISCOVERIES[place]))
    for place, kind in enumerate(("naive", "template", "syntax", "needs scipy"), 8):
        hand_in(pack("", PROMPTS[2], CODES[kind], DISCOVERIES[place]))
    hand_in(pack("", PROMPTS[2], CODES["right"], "我什麼都沒發現，隨便寫寫 123456"))
    hand_in(pack("", "hi", CODES["right"], "It adds up to 1."))
    hand_in(pack("", PROMPTS[2], None, "我的滑桿拉到 5 的時候，第一條長條到了 0.98。", [("my_own.ipynb", OWN)]))
    hand_in(
        pack(
            "",
            PROMPTS[2],
            None,
            "Sliders: 4 against 1 is 0.953, and 40 against 10 is 1.000.",
            [("link.txt", "https://colab.research.google.com/drive/0000000000")],
        )
    )
    own = 110_000_017
    half = min(
        (t / 100 for t in range(20, 3000)),
        key=lambda t: abs(max(right_answer([z / t for z in own_scores(str(own))])) - 0.5),
    )
    words = f"我的三個分數要到 T = {half} 才有一半，比我想的晚很多。\nHALF_AT = {half}"
    hand_in(
        pack(
            str(own),
            "請用天氣預報教我 softmax，讓我可以自己輸入數字。",
            CODES["right"],
            words,
            [("notebook.ipynb", OTHER)],
        )
    )
    copied = "我試了五個分數 4、2、0、−2、−4，最大的拿到 0.865，最小的只剩 0.0003，差了將近三千倍，這是我沒有想到的。"
    hand_in(pack("", "從頭教我 softmax，用便利商店的例子，每一步停下來問我懂不懂。", CODES["long"], copied))
    renamed = (
        CODES["long"].replace("numbers", "xs").replace("powers", "es").replace("# first the largest one", "# mine")
    )
    hand_in(pack("", PROMPTS[2], renamed, copied.replace("這是我沒有想到的", "我真的沒有想到")))
    hand_in(big5_zip("請用繁體中文教我 softmax", "把五個分數都乘以二，最大的從 0.5 變成 0.74。"))
    again = hand_in(pack("", "hello teacher", CODES["template"], "later"), "{0}_LATE_{1}_700001_softmax_homework.zip")
    hand_in(
        pack("", PROMPTS[2], CODES["right"], "I was late, but saw 0.881 for a lead of two."),
        "{0}_LATE_{1}_700002_softmax_homework-1.zip",
        again,
    )
    hand_in(OWN, "{0}_{1}_700003_my_notebook.ipynb")
    for place, code in enumerate(HOSTILE.values()):
        hand_in(
            pack(
                "",
                PROMPTS[2],
                code,
                f"{place + 3} scores, {chance.choice(DISCOVERIES)[: 9 + place]} {chance.random():.3f}",
            )
        )
    for data in odd_zips().values():
        hand_in(data)
    return folder
