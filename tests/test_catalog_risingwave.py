from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import telemetry.catalog
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.load import load

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog

FEATURES = """
    TimeTravel GlueSchemaRegistry SnowflakeSink RedisSinkStream DynamoDbSink OpenSearchSink BigQuerySink
    ClickHouseSharedEngine SecretManagement SqlServerSink SqlServerCdcSource CdcAutoSchemaChange
    IcebergSinkWithGlue ElasticDiskCache ResourceGroup DatabaseFailureIsolation IcebergCompaction
    SinkAutoSchemaChange StateTableMemoryPreload LocalityBackfill SinkSinceTimestamp WebSocketIngest
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(Path(telemetry.catalog.__file__).parent / "risingwave.toml")


def test_it_declares_every_event_of_risingwave(catalog: Catalog) -> None:
    others = {"normal_recovery", "failure_recovery", "adhoc_recovery", "source", "sink"}
    others |= {"connection_create", "connection_ref", "system_report", "cluster_report"}
    assert catalog.events.keys() == {*FEATURES.split(), *others}


def test_it_declares_no_free_text(catalog: Catalog) -> None:
    types = {field.type for event in catalog.events.values() for field in event.fields.values()}
    assert types == {"enum", "identifier", "bool", "int", "version"}


def test_a_shared_field_has_the_same_values_wherever_it_stands(catalog: Catalog) -> None:
    for name in ("event_stage", "object", "format", "encode", "connection_type"):
        fields = [event.fields[name] for event in catalog.events.values() if name in event.fields]
        assert len({field.values for field in fields}) == 1, name


def test_the_creation_of_a_source_passes_and_the_connector_of_a_user_becomes_other(catalog: Catalog) -> None:
    fields = {
        "event_stage": "create_stream_job",
        "object": "source",
        "catalog_id": 1007,
        "connector_name": "bobs-own",
        "format": "FORMAT_TYPE_PLAIN",
        "encode": "ENCODE_TYPE_JSON",
        "node": "meta",
    }
    found = compile_catalog(catalog, dt.date(2026, 1, 1))
    (one,) = found.decoder.decode(msgspec.msgpack.encode([["source", 1, fields]]))
    assert msgspec.to_builtins(one.fields) == {"event": "source", **fields, "connector_name": "other"}


# From its sources: for_all_classified_sources and for_all_sinks, without those for its own tests.
SOURCES = """
    mysql-cdc postgres-cdc citus-cdc mongodb-cdc sqlserver-cdc kafka pulsar kinesis nexmark datagen google_pubsub mqtt
    nats s3 s3_v2 gcs posix_fs azblob iceberg adbc_snowflake webhook
"""
SINKS = """
    redis kafka pulsar blackhole http turbopuffer kinesis clickhouse iceberg mqtt google_pubsub nats jdbc elasticsearch
    opensearch cassandra doris starrocks s3 gcs azblob webhdfs fs snowflake_v2 snowflake redshift deltalake bigquery
    dynamodb mongodb sqlserver postgres table
"""


@pytest.mark.parametrize("event", ["source", "sink", "connection_ref"])
def test_every_connector_of_risingwave_passes_as_it_was_typed(catalog: Catalog, event: str) -> None:
    connectors = {*SOURCES.split(), *SINKS.split()}
    found = compile_catalog(catalog, dt.date(2026, 1, 1))
    for spelling in (str, str.upper, str.capitalize):
        wire = msgspec.msgpack.encode([[event, 1, {"connector_name": spelling(name)}] for name in sorted(connectors)])
        assert [one.fields.connector_name for one in found.decoder.decode(wire)] == sorted(connectors)


def test_an_event_names_the_node_that_alone_reports_it(catalog: Catalog) -> None:
    nodes = {name: event.fields["node"].values for name, event in catalog.events.items() if "node" in event.fields}
    assert {nodes[name] for name in FEATURES.split()} == {("paywall",)}
    assert (nodes["source"], nodes["connection_ref"]) == (("meta",), ("frontend",))


def test_the_uptime_is_too_coarse_to_join_a_session_to_the_next(catalog: Catalog) -> None:
    (hour, day) = catalog.events["system_report"].fields["up_time_seconds"].buckets[1:3]
    assert (hour, day) == (3600, 86_400)


def test_memory_leaves_in_powers_of_two_only(catalog: Catalog) -> None:
    report = catalog.events["system_report"]
    assert report.kind == "report"
    for name in ("memory_used_bytes", "memory_total_bytes"):
        assert report.fields[name].buckets
        assert all(int(bound).bit_count() == 1 for bound in report.fields[name].buckets)
