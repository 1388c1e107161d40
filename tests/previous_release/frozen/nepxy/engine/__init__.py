"""The pure core: states, rules, outcomes, retry arithmetic; and the actor runtime. No I/O happens in this room."""
