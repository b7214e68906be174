"""Bytes ⇄ domain: one file per wire format, sans-io. `WIRE_FORMATS` lists them."""
