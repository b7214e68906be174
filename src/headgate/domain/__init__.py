"""The nouns of the gateway: frozen values without I/O, clock, or knowledge of any feature."""
