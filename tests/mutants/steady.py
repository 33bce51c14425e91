"""What all runs of tests on mutants share, a plugin of pytest: no luck, no waste."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from _pytest.fixtures import FixtureDef, SubRequest

hypothesis.settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("mutants")


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: FixtureDef[object], request: SubRequest) -> object:
    """Take the compiled rules from where they lie: they would be compiled for each mutant."""
    rules = os.environ.get("MUTANTS_RULES")
    if fixturedef.argname != "compiled_rules" or not rules:
        return None
    cache = request.getfixturevalue("tmp_path_factory").mktemp("cache")
    (compiled,) = Path(rules).iterdir()
    shutil.copy(compiled, cache)
    fixturedef.cached_result = (cache / compiled.name, fixturedef.cache_key(request), None)
    return cache / compiled.name
