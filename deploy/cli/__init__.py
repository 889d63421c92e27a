"""The command line. Each module holds the verbs of one idea; importing it registers them."""

from deploy.cli.app import main, whole_app

__all__ = ["main", "whole_app"]
