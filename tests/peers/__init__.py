"""Real servers on loopback for the tests of remote sources, and a proxy that makes them misbehave."""
