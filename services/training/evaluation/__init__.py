"""How good a model is: figures with intervals, beside trivial and published baselines, on texts it was never trained on."""
