"""Vendors: base URL, authentication, wire formats, quirks. `PROVIDERS` lists the kinds."""
