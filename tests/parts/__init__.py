"""Real components for tests: each starts one, or skips the test with the reason why it cannot."""
