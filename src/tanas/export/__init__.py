"""The network taken away."""
