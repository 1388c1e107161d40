"""The API as a document: OpenAPI 3.1 from the models that validate, and a page that shows it."""
