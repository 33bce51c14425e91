"""Words that are common in texts about software. As a name, such a word counts only where the context makes it one.

They are data, in a module as `telemetry.redact.tlds` is. Source: our own reading of logs and of the names of accounts
that images and packages come with, November 2026.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

COMMON = frozenset(
    (
        # Accounts that systems and images come with, and the programs that have them.
        "root admin administrator superuser user users guest default nobody daemon system service services operator "
        "owner public private ubuntu debian fedora centos alpine arch redhat rocky amazon azure google vagrant docker "
        "podman container kubernetes jenkins gitlab github runner actions circleci travis buildkite teamcity ansible "
        "terraform puppet chef salt nginx apache tomcat httpd traefik envoy haproxy squid varnish memcached redis "
        "valkey postgres postgresql mysql mariadb mongodb mongo cassandra scylla clickhouse duckdb sqlite oracle "
        "snowflake redshift bigquery risingwave materialize flink spark hadoop hdfs hive presto trino druid kafka "
        "pulsar redpanda rabbitmq nats zookeeper etcd consul vault nomad elastic elasticsearch opensearch kibana "
        "logstash grafana prometheus loki tempo jaeger zipkin influx influxdb telegraf datadog sentry airflow dagster "
        "celery gunicorn uvicorn uwsgi flask django fastapi rails spring python python3 pytest ruby rust golang java "
        "javascript typescript node nodejs deno perl bash shell linux darwin macos windows android chrome firefox "
        "safari jupyter notebook anaconda conda miniconda numpy pandas backup git svn mail postfix systemd dbus "
        "messagebus polkitd sshd cron www-data localhost localdomain minio ceph airbyte superset metabase"
    ).split()
    + (
        # Names of programs and of their parts, and words for their work.
        "about access account accounts action active agent agents alert alerts alias allow analytics analyze answer "
        "app apps append application applications archive array assets async attribute audit auth author auto backend "
        "balance balancer barrier base batch before begin bench benchmark billing binary block blocks body boot branch "
        "bridge broker browser bucket buffer build builder builds bundle business bytes cache cached call canary "
        "cancel capture card catalog category change changes channel chart check checkout checkpoint child chunk "
        "class clean client clients clock clone close closed cloud cluster code codec collector column columns "
        "command comment commit common compact compaction compile complete compute computer computed config "
        "configuration connect connection connector console consumer content context control controller cookie copy "
        "core count counter counters crash create creator cursor custom customer customers cycle dashboard data "
        "database databases dataset datasets date decode deep delete demo deploy deployment design desktop detail "
        "details dev develop developer developers development device devices disk dispatch dist docs document "
        "documents domain download downloads draft drive driver drivers dump edge editor emit empty enable encode "
        "endpoint engine engineer engineering enterprise entry enum environment error errors event events example "
        "examples exchange execute executor export exporter external fail failed failure fallback fast feature "
        "features feed fetch field fields file files filter final finance finish flags flow flush folder force fork "
        "format frame free from front frontend full function functions gateway general generate generic global graph "
        "group groups guard handler hash header headers health heap hello help history home hook host hostname hosts "
        "hotfix http https hub idle image images import inbound index infra infrastructure ingest ingress init inner "
        "input insert inside instance integration interface internal invalid inventory invoice item items iterator "
        "job jobs join journal json kernel lab lambda latest layer leader left level library limit line lines link "
        "list listen listener load loader local lock logger login logs loop machine mailer main maintenance manager "
        "manual map marketing master match member members memory merge message messages meta metadata meter metric "
        "metrics middleware migrate migration mini mirror mobile mock mode model models module modules monitor "
        "monitoring mount move name names namespace native nested network networks news nightly node nodes normal "
        "notify null number object objects offline office online open operations optional options order orders origin "
        "other outbound output outside package packages page panel parallel param parent parse parser partition "
        "password patch path payload payment payments peer pending people permission person personal phase pipeline "
        "plan planner platform plugin plugins point policy pool port portal post power prefix preview primary print "
        "priority process processor prod producer product production products profile profiles program project "
        "projects prompt property protocol provider proxy publish publisher pull purge push quality query queries "
        "queue quick range rate read reader readonly ready real realtime record records reduce reference refresh "
        "region register registry relation relay release releases reload remote remove render replica replicator "
        "replication repo report reporter reporting reports repos repository request requests research reserve reset "
        "resolve resource resources response restart restore result results retry return review right role roles "
        "rollback route router rows rule rules runtime sales sample samples sandbox scan schedule scheduler schema "
        "schemas scope script scripts search second secret secrets section secure security select sender sensor "
        "server servers session sessions setting settings setup shard share shared shipper shop short show sign "
        "signal simple single sink site sites size slave slice snapshot socket software source sources space spool "
        "stable stack stage staging standard standby start state static station stats status step storage store "
        "stores stream streaming streams string student studio style submit subscriber success suite summary super "
        "supervisor supply support sync table tables target task tasks team teams telemetry temp template tenant "
        "terminal test tester testing tests text thread threads ticket time timeout timer token tokens tool tools "
        "topic trace tracing track traffic train training transaction transfer transport tree trigger trunk tunnel "
        "type types unit unknown update upgrade upload uploader uploads upper upstream usage utility value values "
        "vector vendor verify version video view viewer views virtual volume wait warehouse warning watch watcher "
        "wave webapp webhook website window work worker workers workflow workspace workspaces workstation write "
        "writer zone changeme letmein qwerty"
    ).split()
)
