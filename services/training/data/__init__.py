"""From data sets on disk to cleaned, de-duplicated, split and balanced examples with a manifest of what went in."""
