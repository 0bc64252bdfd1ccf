"""Review: the model's scores and the policy that turns them into a decision with its reasons."""
