"""Fuzzing of everything that parses: one table of targets, a short form for every run and a long one with atheris."""
