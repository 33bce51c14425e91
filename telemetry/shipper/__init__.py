"""The shipper, a separate process: two loops, their start and end, and the questions they answer."""
