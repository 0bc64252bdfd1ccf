"""A capability that lives in the tests alone: proof that the spine knows none by name."""
