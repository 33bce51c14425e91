"""Diagnosis of missing events: the way of an event is walked step by step, with a finding and advice at each step."""
