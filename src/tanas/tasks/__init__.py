"""Tasks: images in three splits, their names, sources and labellings."""
