"""Python runs this at its start where the folder stands on PYTHONPATH."""

import sys

import loopback_only

# jsonschema, which reading notebooks imports, would build its grammar in each process, for two seconds; nobody needs it.
sys.modules["rfc3987_syntax"] = None
loopback_only.install()
