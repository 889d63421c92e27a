"""ksqlDB's REST interface: requests, their checks, and the shapes of the replies."""
