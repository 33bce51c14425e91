"""Options that name where collected events lie: a collector's store, or tables."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

store_option = click.option(
    "--store",
    "directory",
    type=click.Path(path_type=Path),
    envvar="TELEMETRY_STORE",
    help="The collector's directory; or set TELEMETRY_STORE, which --tables goes before.",
)
tables_option = click.option(
    "--tables", metavar="DIR|s3://…", help="The place of tables: a directory, or s3://BUCKET/PREFIX."
)
iceberg_option = click.option(
    "--iceberg-catalog",
    metavar="URI",
    envvar="TELEMETRY_ICEBERG_CATALOG",
    help="Iceberg's catalog: sqlite:///FILE, postgresql+psycopg2://… or https://… of a REST catalog; or set "
    "TELEMETRY_ICEBERG_CATALOG. A directory of tables has its own, a file of SQLite.",
)


def asked_store(directory: Path | None, tables: str | None) -> Path | None:
    """Return the store that is asked: none where tables are named, and the store by the environment alone."""
    source = click.get_current_context().get_parameter_source("directory")
    return None if tables is not None and source is ParameterSource.ENVIRONMENT else directory
