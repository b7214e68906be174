"""The HTTP edge of the data plane: listeners and their limits, routes, and what a request's head says."""
