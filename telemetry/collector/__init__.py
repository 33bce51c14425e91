"""The receiving server: takes batches, keeps them as they came, and answers questions about them."""
