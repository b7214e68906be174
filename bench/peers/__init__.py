"""Other gateways beside Headgate: what is installed, how each is run for its best figure, and what is reported."""
