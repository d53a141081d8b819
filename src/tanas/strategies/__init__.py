"""Search strategies: a space and a task in, the best architecture out."""
