"""Examples of each command, which stand at the end of its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

EXAMPLES = {
    "catalog check": ["telemetry catalog check acme.toml --strict"],
    "catalog diff": ["telemetry catalog diff old.toml acme.toml --json"],
    "catalog docs": ["telemetry catalog docs acme.toml --output PRIVACY.md"],
    "catalog json": ["telemetry catalog json acme.toml --schema"],
    "catalog stubs": ["telemetry catalog stubs acme.toml --output acme/events.py"],
    "catalog templates": ["telemetry catalog templates src/acme"],
    "catalog values": [
        "telemetry catalog values asgi acme.web:app --output routes.txt",
        "telemetry catalog values loggers src/acme --check loggers.txt",
    ],
    "collect": [
        "telemetry collect --listen 127.0.0.1:4380 --store store --catalog acme.toml",
        "telemetry collect --listen 0.0.0.0:4380 --stream nats://a.example,b.example,c.example/telemetry",
    ],
    "completion": [
        "source <(telemetry completion bash)",
        "telemetry completion fish > ~/.config/fish/completions/telemetry.fish",
    ],
    "config show": ["telemetry config show", "telemetry config show --config shipper.toml --json"],
    "consent": ["telemetry consent --product acme-db --json"],
    "demo": ["telemetry demo --events 100000 --processes 4"],
    "doctor": [
        "telemetry doctor --product acme-db",
        "telemetry doctor --catalog acme.toml --endpoint URL --send",
        "telemetry doctor --stream nats://a.example,b.example,c.example/telemetry --monitor http://a.example:8222",
    ],
    "forget": [
        "telemetry forget 0123456789abcdef0123456789abcdef --store store",
        "telemetry forget 0123456789abcdef0123456789abcdef --tables lake",
    ],
    "help": ["telemetry help spool ls"],
    "keys": ["telemetry keys shipper.key"],
    "load": [
        "telemetry load store --tables tables",
        "telemetry load store --tables tables --follow --keep-days 400",
        "telemetry load nats://a,b,c/TELEMETRY --tables s3://lake/t --iceberg-catalog postgresql+psycopg2://db/iceberg",
    ],
    "local": ["telemetry local --product acme-db"],
    "metrics": ["telemetry metrics", "telemetry metrics --textfile /var/lib/node_exporter/telemetry.prom"],
    "off": ["telemetry off --product acme-db", "telemetry off --all"],
    "on": ["telemetry on --product acme-db"],
    "place": ["telemetry place --product acme-db --endpoint https://t.acme.example/v1/batches"],
    "preview": [
        "telemetry preview",
        "telemetry preview --sent --json",
        "telemetry preview --batch 0123 --raw | zstdcat",
    ],
    "purge": ["telemetry purge --product acme-db --yes"],
    "query": [
        "telemetry query @engines --store store --format bar",
        "telemetry query --store store",
        "telemetry query 'SELECT event, count(*) FROM events GROUP BY ALL' --store store --format bar",
        "telemetry query 'SELECT engine, count(*) FROM query_finished GROUP BY ALL' --tables tables",
    ],
    "redact": ["journalctl -u acme | telemetry redact"],
    "report": [
        "telemetry report --store store --since 2026-01-01",
        "telemetry report --store store --format html > report.html",
    ],
    "ship": ["telemetry ship --config shipper.toml"],
    "spool cat": ["telemetry spool cat DIR"],
    "spool export": ["telemetry spool export DIR copies"],
    "spool ls": ["telemetry spool ls DIR --json"],
    "spool purge": ["telemetry spool purge DIR --yes"],
    "spool requeue": ["telemetry spool requeue DIR --all"],
    "spool verify": ["telemetry spool verify DIR"],
    "status": ["telemetry status", "telemetry status --product acme-db --json"],
    "stream create": ["telemetry stream create nats://a.example,b.example,c.example/telemetry --partitions 8"],
    "tail": ["telemetry tail", "telemetry tail 'query_*' --where engine=batch | jq .duration_ms"],
    "technical": ["telemetry technical --product acme-db"],
    "top": ["telemetry top --product acme-db"],
    "tripwire clear": ["telemetry tripwire clear --all --yes"],
    "tripwire show": ["telemetry tripwire show --product acme-db"],
    "view": ["telemetry view", "telemetry view --product acme-db --open"],
}
"""The examples of each command, by its name with that of its group."""


def add_examples(name: str, command: click.Command) -> click.Command:
    """Put a command's examples under its help, and under that of each command that it leads to; return it."""
    if name in EXAMPLES:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in EXAMPLES[name])
    for inner, other in getattr(command, "commands", {}).items():
        add_examples(f"{name} {inner}", other)
    return command
