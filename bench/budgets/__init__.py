"""The proofs of the budgets through the whole gateway over HTTP: see `__main__`."""
