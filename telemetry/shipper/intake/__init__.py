"""The intake loop: from frames to bytes in the spool, one stage a module; it waits for no network."""
