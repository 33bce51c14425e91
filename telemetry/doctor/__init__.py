"""The doctor, which walks the way of an event and says at each step what is so and what to do."""
