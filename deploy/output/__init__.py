"""Plain data → what people read in a terminal. Results go to stdout, progress to stderr."""
