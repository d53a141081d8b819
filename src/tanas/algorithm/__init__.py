"""Algorithm 1: from a task and a dictionary to a trained, tested network."""
