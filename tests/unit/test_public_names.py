"""What `from helpers import …` offers: names and signatures as they are written down, each with hints and a docstring.

A change here is a change for every notebook, so it is made twice: `python3 tests/unit/test_public_names.py` writes
public_names.txt anew (inside .venv-tests).
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import helpers  # noqa: E402

WRITTEN = Path(__file__).with_name("public_names.txt")


def functions():
    """(name, function) for all that a notebook may call: functions, classes, and what a class of helpers offers."""
    for name in sorted(helpers.__all__):
        value = getattr(helpers, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            continue
        if inspect.isclass(value):
            yield name, value
            own = [n for n, method in vars(value).items() if inspect.isfunction(method) and not n.startswith("_")]
            yield from ((f"{name}.{n}", getattr(value, n)) for n in own)
        elif callable(value):
            yield name, value


def as_written():
    shapes = {name: f"{name}{signature(function)}" for name, function in functions()}
    return "\n".join(shapes.get(name, name) for name in sorted({*helpers.__all__, *shapes})) + "\n"


def signature(function):
    """Names and default values; hints are left out, which Python's versions write differently."""
    given = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in given.parameters.values() if p.name != "self"]
    return re.sub(r" at 0x\w+", "", str(given.replace(parameters=bare, return_annotation=given.empty)))


def test_names_and_signatures_are_as_written_down():
    assert as_written() == WRITTEN.read_text(encoding="utf-8"), f"if it is meant, run python3 {Path(__file__).name}"


def test_every_public_function_has_hints_and_says_what_each_parameter_is():
    for name, function in functions():
        words, given = inspect.getdoc(function), inspect.signature(function)
        assert words, f"{name} has no docstring"
        for parameter in given.parameters.values():
            if parameter.name != "self":
                assert parameter.annotation is not parameter.empty, f"{name}: {parameter.name} has no type hint"
                assert re.search(rf"\b{parameter.name}\b", words), f"{name}: nothing is said of {parameter.name}"


def test_no_public_name_hides_a_module():
    assert not set(helpers.__all__) & {path.stem for path in (ROOT / "helpers").rglob("*.py")}


def test_importing_helpers_starts_no_compiler():
    code = "import helpers, sys; assert not {'torch._inductor', 'sympy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


if __name__ == "__main__":
    WRITTEN.write_text(as_written(), encoding="utf-8")
