"""What the read-only guard knows by name: node kinds, functions, relations and settings.

Everything called ``pg_*`` is refused unless it stands here, so what a later PostgreSQL adds is
refused until somebody looked at it. Functions and relations of other names are refused when they
stand here; what the functions of the database at hand do is asked of the server.
"""

from __future__ import annotations

__all__ = [
    "CATALOGS",
    "DENIED_FUNCTIONS",
    "DENIED_FUNCTION_PREFIXES",
    "DENIED_INFORMATION_PREFIXES",
    "DENIED_RELATION_PREFIXES",
    "EXPLAIN_OPTIONS",
    "HARMLESS",
    "NODES",
    "PG_FUNCTIONS",
    "SETTINGS",
]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NODES = _names(
    """
    A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Alias BitString BoolExpr Boolean
    BooleanTest CTECycleClause CTESearchClause CaseExpr CaseWhen CoalesceExpr CollateClause
    ColumnDef ColumnRef CommonTableExpr Float FuncCall GroupingFunc GroupingSet Integer JoinExpr
    JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor
    JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg
    JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr
    JsonTable JsonTableColumn JsonTablePathSpec JsonValueExpr List MinMaxExpr NamedArgExpr Node
    NullTest ParamRef RangeFunction RangeSubselect RangeTableFunc RangeTableFuncCol
    RangeTableSample RangeVar ResTarget RowExpr SQLValueFunction SelectStmt SortBy String SubLink
    TypeCast TypeName WindowDef WithClause XmlExpr XmlSerialize
    """
)
"""Kinds of the parse tree a plain read is made of."""

EXPLAIN_OPTIONS = _names(
    """
    analyse analyze buffers costs format generic_plan memory serialize settings summary timing
    verbose wal
    """
)
"""Options of EXPLAIN; those that run the statement are fine where it is a read itself."""

SETTINGS = _names(
    """
    application_name bytea_output client_encoding datestyle default_text_search_config
    default_transaction_isolation default_transaction_read_only extra_float_digits
    in_hot_standby integer_datetimes intervalstyle is_superuser lc_collate lc_ctype lc_messages
    lc_monetary lc_numeric lc_time lock_timeout max_connections max_identifier_length
    search_path server_encoding server_version server_version_num standard_conforming_strings
    statement_timeout timezone transaction_isolation transaction_read_only work_mem
    """
)
"""What SHOW and current_setting may tell; settings of applications may hold secrets."""

PG_FUNCTIONS = _names(
    """
    pg_basetype pg_char_to_encoding pg_client_encoding pg_collation_for pg_collation_is_visible
    pg_column_compression pg_column_is_updatable pg_column_size pg_database_size
    pg_describe_object pg_encoding_to_char pg_function_is_visible pg_get_constraintdef
    pg_get_expr pg_get_function_arg_default pg_get_function_arguments
    pg_get_function_identity_arguments pg_get_function_result pg_get_functiondef pg_get_indexdef
    pg_get_keywords pg_get_partition_constraintdef pg_get_partkeydef pg_get_ruledef
    pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid
    pg_get_viewdef pg_has_role pg_identify_object pg_indexes_size pg_input_error_info
    pg_input_is_valid pg_is_in_recovery pg_opclass_is_visible pg_operator_is_visible
    pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time
    pg_relation_is_updatable pg_relation_size pg_sequence_parameters pg_size_bytes
    pg_size_pretty pg_table_is_visible pg_table_size pg_timezone_names pg_total_relation_size
    pg_ts_config_is_visible pg_type_is_visible pg_typeof
    """
)
"""The functions named pg_* that a read may call."""

DENIED_FUNCTIONS = _names(
    """
    cursor_to_xml cursor_to_xmlschema
    database_to_xml database_to_xml_and_xmlschema database_to_xmlschema
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema
    schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
    table_to_xml table_to_xml_and_xmlschema table_to_xmlschema
    ts_rewrite ts_stat xpath_table connectby crosstab crosstab2 crosstab3 crosstab4
    nextval setval set_config setseed currtid currtid2 txid_current
    lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64
    lo_open lo_put lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink lo_manage loread lowrite
    brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list
    inet_client_addr inet_client_port inet_server_addr inet_server_port
    current_query get_raw_page plpgsql_call_handler plpgsql_validator
    suppress_redundant_updates_trigger
    """
)
"""Functions that write, wait, talk to the outside, tell secrets or run SQL from a text."""

DENIED_FUNCTION_PREFIXES = (
    "binary_upgrade_",
    "crosstab",
    "dblink",
    "http",
    "lo_",
    "pgrowlocks",
    "pgstat",
    "postgres_fdw_",
)
"""Families of such functions. Not applied to ``a.b``, where a column is the likelier meaning."""

CATALOGS = _names(
    """
    pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_available_extensions
    pg_available_extension_versions pg_cast pg_class pg_collation pg_constraint pg_conversion
    pg_database pg_depend pg_description pg_enum pg_extension pg_index pg_indexes
    pg_inherits pg_language pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily
    pg_partitioned_table pg_policies pg_policy pg_proc pg_range pg_rules pg_sequence
    pg_sequences pg_stat_all_indexes pg_stat_all_tables pg_stat_user_indexes pg_stat_user_tables
    pg_statio_all_indexes pg_statio_all_tables pg_statio_user_indexes pg_statio_user_tables
    pg_statistic_ext pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_trigger
    pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_views
    """
)
"""The system catalogs that describe tables, and nothing of passwords or of other sessions."""

DENIED_RELATION_PREFIXES = ("_pg_", "dblink_")
DENIED_INFORMATION_PREFIXES = ("_pg_", "column_options", "foreign_", "user_mapping")
"""Views of information_schema that show the options, and so the passwords, of foreign servers."""

HARMLESS = PG_FUNCTIONS | _names(
    """
    array_sample array_shuffle clock_timestamp gen_random_uuid random random_normal timeofday
    uuidv4 uuidv7
    """
)
"""Functions of PostgreSQL's own that are VOLATILE and may be called all the same."""
