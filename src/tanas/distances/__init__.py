"""Distances between tasks: what a task's representative knows of another task. Source: section 3.1."""
