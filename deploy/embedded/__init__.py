"""Real servers on one machine, from packages, without Docker: see `stack`."""

from deploy.embedded.layout import DataFolder, default_data_dir
from deploy.embedded.stack import Stack, running_parts
from deploy.embedded.state import StackState, read_state, stack_environment

__all__ = ["DataFolder", "Stack", "StackState", "default_data_dir", "read_state", "running_parts", "stack_environment"]
