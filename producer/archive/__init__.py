"""A topic's records in files, on a local disk or in a bucket: names, listing, reading, writing."""
