"""The record of migrations on the server, and the lock that lets one run at a time write it."""
