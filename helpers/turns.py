"""One thing after another: today's JupyterLab runs a widget's callback in a thread of its own, beside a running cell.

(ipykernel 7 with JupyterLab 4.4 and newer: "comms over subshells".) Two callbacks, or a callback and a cell, would then
draw into one figure or train one game at the same time. What is marked `in_turn` waits for its turn.
"""

import functools
import threading

TURN = threading.RLock()  # whoever has the turn may call other things that need it


def in_turn(function):
    """The same function, which waits until no other thread is inside a function marked so."""

    @functools.wraps(function)
    def waits(*args, **kwargs):
        with TURN:
            return function(*args, **kwargs)

    return waits
