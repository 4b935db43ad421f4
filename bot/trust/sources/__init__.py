"""I/O of trust checks that reaches beyond registries and git hosts."""
