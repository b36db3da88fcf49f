"""Python runs this at its start where the folder stands on PYTHONPATH."""

import loopback_only
import trained_once

loopback_only.install()
trained_once.install()
