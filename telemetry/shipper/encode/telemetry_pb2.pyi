from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TelemetryEventStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TELEMETRY_EVENT_STAGE_UNSPECIFIED: _ClassVar[TelemetryEventStage]
    TELEMETRY_EVENT_STAGE_CREATE_STREAM_JOB: _ClassVar[TelemetryEventStage]
    TELEMETRY_EVENT_STAGE_UPDATE_STREAM_JOB: _ClassVar[TelemetryEventStage]
    TELEMETRY_EVENT_STAGE_DROP_STREAM_JOB: _ClassVar[TelemetryEventStage]
    TELEMETRY_EVENT_STAGE_QUERY: _ClassVar[TelemetryEventStage]
    TELEMETRY_EVENT_STAGE_RECOVERY: _ClassVar[TelemetryEventStage]

class TelemetryDatabaseObject(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TELEMETRY_DATABASE_OBJECT_UNSPECIFIED: _ClassVar[TelemetryDatabaseObject]
    TELEMETRY_DATABASE_OBJECT_SOURCE: _ClassVar[TelemetryDatabaseObject]
    TELEMETRY_DATABASE_OBJECT_MV: _ClassVar[TelemetryDatabaseObject]
    TELEMETRY_DATABASE_OBJECT_TABLE: _ClassVar[TelemetryDatabaseObject]
    TELEMETRY_DATABASE_OBJECT_SINK: _ClassVar[TelemetryDatabaseObject]
    TELEMETRY_DATABASE_OBJECT_INDEX: _ClassVar[TelemetryDatabaseObject]

class TelemetryNodeType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TELEMETRY_NODE_TYPE_UNSPECIFIED: _ClassVar[TelemetryNodeType]
    TELEMETRY_NODE_TYPE_META: _ClassVar[TelemetryNodeType]
    TELEMETRY_NODE_TYPE_COMPUTE: _ClassVar[TelemetryNodeType]
    TELEMETRY_NODE_TYPE_FRONTEND: _ClassVar[TelemetryNodeType]
    TELEMETRY_NODE_TYPE_COMPACTOR: _ClassVar[TelemetryNodeType]

class TelemetryClusterType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TELEMETRY_CLUSTER_TYPE_UNSPECIFIED: _ClassVar[TelemetryClusterType]
    TELEMETRY_CLUSTER_TYPE_SINGLE_NODE: _ClassVar[TelemetryClusterType]
    TELEMETRY_CLUSTER_TYPE_DOCKER_COMPOSE: _ClassVar[TelemetryClusterType]
    TELEMETRY_CLUSTER_TYPE_KUBERNETES: _ClassVar[TelemetryClusterType]
    TELEMETRY_CLUSTER_TYPE_CLOUD_HOSTED: _ClassVar[TelemetryClusterType]

class MetaBackend(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    META_BACKEND_UNSPECIFIED: _ClassVar[MetaBackend]
    META_BACKEND_MEMORY: _ClassVar[MetaBackend]
    META_BACKEND_ETCD: _ClassVar[MetaBackend]
    META_BACKEND_RDB: _ClassVar[MetaBackend]

class PlanOptimization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TABLE_OPTIMIZATION_UNSPECIFIED: _ClassVar[PlanOptimization]
TELEMETRY_EVENT_STAGE_UNSPECIFIED: TelemetryEventStage
TELEMETRY_EVENT_STAGE_CREATE_STREAM_JOB: TelemetryEventStage
TELEMETRY_EVENT_STAGE_UPDATE_STREAM_JOB: TelemetryEventStage
TELEMETRY_EVENT_STAGE_DROP_STREAM_JOB: TelemetryEventStage
TELEMETRY_EVENT_STAGE_QUERY: TelemetryEventStage
TELEMETRY_EVENT_STAGE_RECOVERY: TelemetryEventStage
TELEMETRY_DATABASE_OBJECT_UNSPECIFIED: TelemetryDatabaseObject
TELEMETRY_DATABASE_OBJECT_SOURCE: TelemetryDatabaseObject
TELEMETRY_DATABASE_OBJECT_MV: TelemetryDatabaseObject
TELEMETRY_DATABASE_OBJECT_TABLE: TelemetryDatabaseObject
TELEMETRY_DATABASE_OBJECT_SINK: TelemetryDatabaseObject
TELEMETRY_DATABASE_OBJECT_INDEX: TelemetryDatabaseObject
TELEMETRY_NODE_TYPE_UNSPECIFIED: TelemetryNodeType
TELEMETRY_NODE_TYPE_META: TelemetryNodeType
TELEMETRY_NODE_TYPE_COMPUTE: TelemetryNodeType
TELEMETRY_NODE_TYPE_FRONTEND: TelemetryNodeType
TELEMETRY_NODE_TYPE_COMPACTOR: TelemetryNodeType
TELEMETRY_CLUSTER_TYPE_UNSPECIFIED: TelemetryClusterType
TELEMETRY_CLUSTER_TYPE_SINGLE_NODE: TelemetryClusterType
TELEMETRY_CLUSTER_TYPE_DOCKER_COMPOSE: TelemetryClusterType
TELEMETRY_CLUSTER_TYPE_KUBERNETES: TelemetryClusterType
TELEMETRY_CLUSTER_TYPE_CLOUD_HOSTED: TelemetryClusterType
META_BACKEND_UNSPECIFIED: MetaBackend
META_BACKEND_MEMORY: MetaBackend
META_BACKEND_ETCD: MetaBackend
META_BACKEND_RDB: MetaBackend
TABLE_OPTIMIZATION_UNSPECIFIED: PlanOptimization

class EventMessage(_message.Message):
    __slots__ = ("tracking_id", "event_time_sec", "event_stage", "event_name", "connector_name", "catalog_id", "attributes", "node", "object", "is_test")
    TRACKING_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_SEC_FIELD_NUMBER: _ClassVar[int]
    EVENT_STAGE_FIELD_NUMBER: _ClassVar[int]
    EVENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_NAME_FIELD_NUMBER: _ClassVar[int]
    CATALOG_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    IS_TEST_FIELD_NUMBER: _ClassVar[int]
    tracking_id: str
    event_time_sec: int
    event_stage: TelemetryEventStage
    event_name: str
    connector_name: str
    catalog_id: int
    attributes: str
    node: str
    object: TelemetryDatabaseObject
    is_test: bool
    def __init__(self, tracking_id: _Optional[str] = ..., event_time_sec: _Optional[int] = ..., event_stage: _Optional[_Union[TelemetryEventStage, str]] = ..., event_name: _Optional[str] = ..., connector_name: _Optional[str] = ..., catalog_id: _Optional[int] = ..., attributes: _Optional[str] = ..., node: _Optional[str] = ..., object: _Optional[_Union[TelemetryDatabaseObject, str]] = ..., is_test: bool = ...) -> None: ...

class BatchEventMessage(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[EventMessage]
    def __init__(self, events: _Optional[_Iterable[_Union[EventMessage, _Mapping]]] = ...) -> None: ...

class SystemMemory(_message.Message):
    __slots__ = ("used", "total")
    USED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    used: int
    total: int
    def __init__(self, used: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class SystemOs(_message.Message):
    __slots__ = ("name", "version", "kernel_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    kernel_version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., kernel_version: _Optional[str] = ...) -> None: ...

class SystemCpu(_message.Message):
    __slots__ = ("available",)
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    available: float
    def __init__(self, available: _Optional[float] = ...) -> None: ...

class SystemData(_message.Message):
    __slots__ = ("memory", "os", "cpu")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    memory: SystemMemory
    os: SystemOs
    cpu: SystemCpu
    def __init__(self, memory: _Optional[_Union[SystemMemory, _Mapping]] = ..., os: _Optional[_Union[SystemOs, _Mapping]] = ..., cpu: _Optional[_Union[SystemCpu, _Mapping]] = ...) -> None: ...

class ReportBase(_message.Message):
    __slots__ = ("tracking_id", "session_id", "system_data", "up_time", "report_time", "node_type", "is_test")
    TRACKING_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_DATA_FIELD_NUMBER: _ClassVar[int]
    UP_TIME_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    IS_TEST_FIELD_NUMBER: _ClassVar[int]
    tracking_id: str
    session_id: str
    system_data: SystemData
    up_time: int
    report_time: int
    node_type: TelemetryNodeType
    is_test: bool
    def __init__(self, tracking_id: _Optional[str] = ..., session_id: _Optional[str] = ..., system_data: _Optional[_Union[SystemData, _Mapping]] = ..., up_time: _Optional[int] = ..., report_time: _Optional[int] = ..., node_type: _Optional[_Union[TelemetryNodeType, str]] = ..., is_test: bool = ...) -> None: ...

class NodeCount(_message.Message):
    __slots__ = ("meta", "compute", "frontend", "compactor")
    META_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_FIELD_NUMBER: _ClassVar[int]
    COMPACTOR_FIELD_NUMBER: _ClassVar[int]
    meta: int
    compute: int
    frontend: int
    compactor: int
    def __init__(self, meta: _Optional[int] = ..., compute: _Optional[int] = ..., frontend: _Optional[int] = ..., compactor: _Optional[int] = ...) -> None: ...

class RwVersion(_message.Message):
    __slots__ = ("rw_version", "git_sha")
    RW_VERSION_FIELD_NUMBER: _ClassVar[int]
    GIT_SHA_FIELD_NUMBER: _ClassVar[int]
    rw_version: str
    git_sha: str
    def __init__(self, rw_version: _Optional[str] = ..., git_sha: _Optional[str] = ...) -> None: ...

class StreamJobDesc(_message.Message):
    __slots__ = ("table_id", "connector_name", "plan_optimizations")
    TABLE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_NAME_FIELD_NUMBER: _ClassVar[int]
    PLAN_OPTIMIZATIONS_FIELD_NUMBER: _ClassVar[int]
    table_id: int
    connector_name: str
    plan_optimizations: _containers.RepeatedScalarFieldContainer[PlanOptimization]
    def __init__(self, table_id: _Optional[int] = ..., connector_name: _Optional[str] = ..., plan_optimizations: _Optional[_Iterable[_Union[PlanOptimization, str]]] = ...) -> None: ...

class MetaReport(_message.Message):
    __slots__ = ("base", "meta_backend", "node_count", "rw_version", "stream_job_count", "stream_jobs", "cluster_type", "object_store_media_type", "connector_usage_json_str", "license_info_json_str")
    BASE_FIELD_NUMBER: _ClassVar[int]
    META_BACKEND_FIELD_NUMBER: _ClassVar[int]
    NODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RW_VERSION_FIELD_NUMBER: _ClassVar[int]
    STREAM_JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    STREAM_JOBS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TYPE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_STORE_MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_USAGE_JSON_STR_FIELD_NUMBER: _ClassVar[int]
    LICENSE_INFO_JSON_STR_FIELD_NUMBER: _ClassVar[int]
    base: ReportBase
    meta_backend: MetaBackend
    node_count: NodeCount
    rw_version: RwVersion
    stream_job_count: int
    stream_jobs: _containers.RepeatedCompositeFieldContainer[StreamJobDesc]
    cluster_type: TelemetryClusterType
    object_store_media_type: str
    connector_usage_json_str: str
    license_info_json_str: str
    def __init__(self, base: _Optional[_Union[ReportBase, _Mapping]] = ..., meta_backend: _Optional[_Union[MetaBackend, str]] = ..., node_count: _Optional[_Union[NodeCount, _Mapping]] = ..., rw_version: _Optional[_Union[RwVersion, _Mapping]] = ..., stream_job_count: _Optional[int] = ..., stream_jobs: _Optional[_Iterable[_Union[StreamJobDesc, _Mapping]]] = ..., cluster_type: _Optional[_Union[TelemetryClusterType, str]] = ..., object_store_media_type: _Optional[str] = ..., connector_usage_json_str: _Optional[str] = ..., license_info_json_str: _Optional[str] = ...) -> None: ...

class ComputeReport(_message.Message):
    __slots__ = ("base",)
    BASE_FIELD_NUMBER: _ClassVar[int]
    base: ReportBase
    def __init__(self, base: _Optional[_Union[ReportBase, _Mapping]] = ...) -> None: ...

class FrontendReport(_message.Message):
    __slots__ = ("base",)
    BASE_FIELD_NUMBER: _ClassVar[int]
    base: ReportBase
    def __init__(self, base: _Optional[_Union[ReportBase, _Mapping]] = ...) -> None: ...

class CompactorReport(_message.Message):
    __slots__ = ("base",)
    BASE_FIELD_NUMBER: _ClassVar[int]
    base: ReportBase
    def __init__(self, base: _Optional[_Union[ReportBase, _Mapping]] = ...) -> None: ...
