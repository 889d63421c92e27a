"""The dashboard: web pages of the market, fed by queries to a ksqlDB or an embedded server."""
