"""Typed settings: file and environment → `Settings`. Every component is built from these and from nothing else."""
