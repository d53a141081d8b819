"""Search spaces: where architectures are looked for, and how related tasks shape it."""
