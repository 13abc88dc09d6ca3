"""HTTP endpoints. Routes parse requests, call the parts of the gateway and build responses."""
