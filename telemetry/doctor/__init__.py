"""Why nothing arrives: the way of an event walked step by step, and at each step what is so and what to do."""
