"""The dictionary: the memory of tasks, as folders on disk."""
