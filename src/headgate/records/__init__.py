"""The record of every request: written in batches off the hot path, read by reports."""
