"""Configurations of other gateways → ours: pure translation, a document in, files and findings out.

Nothing here reads or writes a file. What a source says and Headgate does not do becomes a refused finding, never
silence.
"""
