"""PostgreSQL: models, repositories, the journal's SQL, the connection pool, and the embedded server of development."""
