"""How the database came to its present layout: one module of `versions` per change, run in order by `..layout`."""
