"""How Tidegate runs: the embedded stack, and later images, compose files and dashboards."""
