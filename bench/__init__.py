"""The benchmark: what does a gateway cost, beside nginx and beside no gateway at all? See README.md."""
