"""Endpoints that misbehave, each a real server on the loopback, and what the uploader makes of them.

    server          a listening socket that does as a behaviour says, until it is healed
    behaviours      what may be on the other end
    certificates    of servers that are trusted, and of those that must not be
    faults          the list: fault -> outcome, what is said of it, what may be lost
    trial           one fault against the real uploader, spool and sink

`tools/endpoint-faults` runs the list; test_endpoint_faults.py is the same, fault by fault.
"""
