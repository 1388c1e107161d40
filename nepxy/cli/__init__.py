"""The command line, and the composition root that builds and stops everything."""
