"""From data sets to a model folder that Triton serves: data, fine-tune, evaluate, export. Needs the `train` extra."""
