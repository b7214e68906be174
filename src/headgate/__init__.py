"""Headgate: a self-hosted LLM gateway that meters what it lets through."""

__version__ = "0.1.0"
