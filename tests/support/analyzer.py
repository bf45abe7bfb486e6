"""The GoogleSQL analyzer: BigQuery's own parser and type checker, without BigQuery.

``zetasql`` on PyPI is Google's C++ analyzer compiled to WebAssembly. Its Python face compiles those 28 MB
anew in every process (10 to 27 s) and copies every answer byte by byte, so this module speaks to the
WebAssembly itself: compiled once a machine (wasmtime's cache), about 5 ms a statement.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from typing import TYPE_CHECKING, Any

from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig
from zetasql.core.exceptions import ServerError
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as language_pb2
from zetasql.wasi._pb2.zetasql.public import type_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# As BigQuery's API writes them, and as GoogleSQL does.
TYPE_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}

# A column: its name, its type as GoogleSQL writes it (also ARRAY<STRUCT<…>>), its mode in BigQuery's words.
Column = tuple[str, str, str]


class AnalyzerError(Exception):
    """A statement that BigQuery would refuse; the message says where and why."""


class Wasm(WasmClient):  # type: ignore[misc]  # zetasql ships no types
    """The package's client, with the compiled module cached on disk and memory copied as a whole."""

    def __init__(self) -> None:
        """Load the analyzer: 0.3 s, once a machine 10 s and more."""
        config = Config()
        config.shared_memory = True
        config.cache = True
        wasi = WasiConfig()
        wasi.inherit_stderr()
        wasi.preopen_dir(str(get_tzinfo_dir()), "/usr/share/zoneinfo")
        engine = Engine(config)
        self.store = Store(engine)
        self.store.set_wasi(wasi)
        linker = Linker(engine)
        linker.define_wasi()
        self.instance = linker.instantiate(self.store, Module.from_file(engine, get_wasm_path()))
        self.exports = self.instance.exports(self.store)
        self.memory: Any = self.exports["memory"]
        initialize: Any = self.exports["_initialize"]
        initialize(self.store)

    def _address(self, offset: int) -> int:
        return ctypes.addressof(self.memory.data_ptr().contents) + offset

    def write_bytes(self, ptr: int, data: bytes) -> None:
        """Copy into the WebAssembly's memory."""
        ctypes.memmove(self._address(ptr), data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        """Copy out of the WebAssembly's memory."""
        return ctypes.string_at(self._address(ptr), size)


@functools.cache
def wasm() -> Wasm:
    """The one instance of this process."""
    return Wasm()


@functools.cache
def language() -> options_pb2.LanguageOptionsProto:
    """GoogleSQL as BigQuery speaks it: every released feature, external types only, QUALIFY reserved."""
    options = wasm().call_grpc_func(
        "ZetaSqlLocalService_GetLanguageOptions",
        service.LanguageOptionsRequest(maximum_features=True),
        options_pb2.LanguageOptionsProto,
    )
    options.name_resolution_mode = language_pb2.NAME_RESOLUTION_DEFAULT
    options.product_mode = language_pb2.PRODUCT_EXTERNAL
    options.reserved_keywords.append("QUALIFY")
    # BigQuery has it: https://cloud.google.com/bigquery/docs/managing-table-schemas#change_a_columns_data_type
    options.enabled_language_features.append(language_pb2.FEATURE_ALTER_COLUMN_SET_DATA_TYPE)
    del options.supported_statement_kinds[:]  # none named: every kind
    return options


def analyze(statement: str, catalog_id: int) -> service.AnalyzeResponse:
    """Analyze one statement, or raise AnalyzerError."""
    options = options_pb2.AnalyzerOptionsProto(
        language_options=language(),
        allow_undeclared_parameters=True,
        error_message_mode=language_pb2.ERROR_MESSAGE_MULTI_LINE_WITH_CARET,
    )
    request = service.AnalyzeRequest(options=options, registered_catalog_id=catalog_id, sql_statement=statement)
    try:
        return wasm().call_grpc_func("ZetaSqlLocalService_Analyze", request, service.AnalyzeResponse)
    except ServerError as error:
        message = f"{error.raw_error.partition('Message: ')[2]}\nin: {statement}"
        raise AnalyzerError(message) from None


def register(tables: Mapping[str, Iterable[Column]]) -> int:
    """Make a catalog of tables known to the analyzer and return its number."""
    catalog = simple_catalog_pb2.SimpleCatalogProto()
    catalog.builtin_function_options.language_options.CopyFrom(language())
    for name, columns in tables.items():
        # A name in one pair of backquotes is one identifier to the analyzer; BigQuery splits it later.
        table = catalog.table.add(name=name)
        for column, type_name, mode in columns:
            kind = TYPE_ALIASES.get(type_name.upper(), type_name)
            kind = f"ARRAY<{kind}>" if mode.upper() == "REPEATED" else kind
            table.column.add(name=column, type=type_of(kind), is_writable_column=True)
    request = service.RegisterCatalogRequest(
        simple_catalog=catalog, descriptor_pool_list=service.DescriptorPoolListProto()
    )
    answer = wasm().call_grpc_func("ZetaSqlLocalService_RegisterCatalog", request, service.RegisterResponse)
    catalog_id: int = answer.registered_id
    return catalog_id


def unregister(catalog_id: int) -> None:
    """Forget a catalog, which holds some megabytes."""
    wasm().call_grpc_func("ZetaSqlLocalService_UnregisterCatalog", service.UnregisterRequest(registered_id=catalog_id))


@functools.cache
def no_tables() -> int:
    """The catalog with the functions alone."""
    return register({})


@functools.cache
def type_of(name: str) -> type_pb2.TypeProto:
    """The type that GoogleSQL calls by this name."""
    answer = analyze(f"select cast(null as {name})", no_tables())
    return answer.resolved_statement.resolved_query_stmt_node.output_column_list[0].column.type


def type_name(kind: type_pb2.TypeProto) -> str:
    """What GoogleSQL calls a type."""
    if kind.HasField("array_type"):
        return f"ARRAY<{type_name(kind.array_type.element_type)}>"
    if kind.HasField("struct_type"):
        fields = (f"{field.field_name} {type_name(field.field_type)}" for field in kind.struct_type.field)
        return f"STRUCT<{', '.join(fields)}>"
    name: str = type_pb2.TypeKind.Name(kind.type_kind).removeprefix("TYPE_")
    return "FLOAT64" if name == "DOUBLE" else name


class Analyzer:
    """Checks statements against a set of tables: names, columns, types, syntax."""

    def __init__(self, tables: Mapping[str, Iterable[Column]]) -> None:
        """Know these tables.

        Args:
            tables: by name as it stands between the backquotes (``project.dataset.table``), the columns as
                (name, type, mode). Types as GoogleSQL or BigQuery's API write them, structs as
                ``STRUCT<a STRING, b ARRAY<INT64>>``; mode is NULLABLE, REQUIRED or REPEATED.
        """
        self._catalog = register(tables)
        weakref.finalize(self, unregister, self._catalog).atexit = False

    def check(self, sql: str) -> None:
        """Raise AnalyzerError, with the place in the statement, if BigQuery would refuse it.

        One statement at a time. Not looked at: whether what DROP names exists, NULL in a REQUIRED column,
        partitioning, quotas, and what the options of a table may be.
        """
        analyze(sql, self._catalog)

    def columns(self, query: str) -> list[str]:
        """The names of the columns that a query gives."""
        return [name for name, _, _ in self.table_of(query)]

    def table_of(self, query: str) -> list[Column]:
        """The columns of the table, or view, that a query would make."""
        node = analyze(query, self._catalog).resolved_statement.resolved_query_stmt_node
        return [(column.name, type_name(column.column.type), "NULLABLE") for column in node.output_column_list]
