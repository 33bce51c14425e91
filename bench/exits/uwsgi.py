"""uWSGI as a module, `python -m bench.exits.uwsgi OPTIONS`: it forks its workers in C, and no hook of Python runs."""

from __future__ import annotations

import sys

import pyuwsgi

sys.argv[0] = "uwsgi"
pyuwsgi.run()
