"""Python runs this at its start where the folder stands on PYTHONPATH."""

import trained_once

trained_once.install()
