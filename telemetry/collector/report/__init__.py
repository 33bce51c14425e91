"""Report over what a collector has taken in: figures of events and days, without those of few installations."""
