"""Tokens: counted where a provider did not (estimates, marked as such by whoever records them), bounded beforehand."""
