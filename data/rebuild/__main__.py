"""`python3 data/rebuild`: puts the course's folders where Python finds them, and starts the command."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[depth]) for depth in (2, 1)]  # for `helpers` and `rebuild`

from rebuild.command import main  # noqa: E402

sys.exit(main())
