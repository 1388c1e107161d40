"""The operators' command line: everything over HTTP, so that a command is the same whoever gives it, and audited."""
