"""What another policy would have done with the same traffic: traces, a virtual clock, a report. Nothing is sent."""
