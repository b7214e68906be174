"""The way to providers: pooled HTTP/1.1, with the address policy, time-outs and bounds of a gateway."""
