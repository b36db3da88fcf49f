"""What `notebooks/grade.py` is made of.

- `folder.py` finds the hand-ins in a folder as an LMS gives it: who, which attempt, late or not.
- `inside.py` is all that ever touches what a student wrote: it unpacks, parses and runs, and it does so in the sandbox.
- `server.py` is the sandbox's own process, `linux.py` the kernel's means that it uses; `sandbox.py` is the grader's end.
- `rubric.toml` and `marking.py` turn what was seen into points and reasons, `copies.py` finds what is alike.
- `report.py` writes the CSV and the HTML page; `demo.py` makes a small class to try it all on.
"""
