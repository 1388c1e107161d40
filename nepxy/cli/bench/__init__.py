"""How fast is it? Scenarios against a real PostgreSQL and real HTTP, each beside the floor program, as ratios."""
