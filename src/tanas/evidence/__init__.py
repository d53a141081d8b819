"""The paper's experiments: each a function that returns a record, and what is written and said of it."""
