"""The training loop and the evaluation of networks."""
