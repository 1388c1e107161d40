"""The front end: clients, webhooks and machines over HTTP. It parses, asks the supervisor, and renders."""
