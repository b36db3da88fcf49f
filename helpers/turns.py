"""The training core's way to the lock, which stands in page.py."""

from .page import LOCK as TURN  # noqa: F401
from .page import locked as in_turn  # noqa: F401
