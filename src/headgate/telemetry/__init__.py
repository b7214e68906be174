"""What operators see of a running gateway beside its records."""
