"""NepXy: an actor-based payout engine for mobile money."""
