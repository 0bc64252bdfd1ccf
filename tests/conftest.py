"""For all tests: no test's result may depend on how fast the machine is, nor on how the tests were started."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("tidegate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidegate")

# A shell that starts the tests in the background has SIGINT ignored, and the commands that are interrupted here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
