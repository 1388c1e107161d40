"""One module a subject. Each has `ROUTES`: method, path, handler."""
