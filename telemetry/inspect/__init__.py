"""A spool seen from outside, by commands: no shipper need run, and none is disturbed that does."""
