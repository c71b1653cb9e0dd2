/*
 * analyze_functions.cpp: which functions give the same on every member.
 *
 * Built-in functions that are immutable do. Of the stable ones, those that depend on settings which are fixed while contracts
 * run (time zone, formats, search_path) do, too; what remains is refused unless it stands here: a function that a new version
 * of PostgreSQL adds is refused until somebody has read it. Functions of users may be called if they are declared IMMUTABLE,
 * written in SQL or PL/pgSQL, and their body keeps these rules and reads no table; contracts may be called.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr int kNestingMax = 20;

struct Refusal {
  const char* name;
  Rule rule;
};

constexpr const char* kBlockTimeHint = "Use dadbs.block_time(), which is the same on all members.";
constexpr const char* kSequenceHint =
    "Take the number from the caller or from a row, for example the highest so far plus one, or dadbs.transaction_id().";
constexpr const char* kSessionHint =
    "Use dadbs.origin_node(), dadbs.session_user_name(), dadbs.transaction_id() or an argument of the contract.";
constexpr const char* kRandomHint = "Let the caller hand over the value, or derive it from dadbs.transaction_id() by sha256().";
constexpr const char* kCatalogHint = "Keep what the contract needs to know in a shared table.";
constexpr const char* kLockHint = "Contracts run one after the other: no lock is needed.";

const Refusal kRefusals[] = {
    {"now", Rule::kWallClock},
    {"transaction_timestamp", Rule::kWallClock},
    {"statement_timestamp", Rule::kWallClock},
    {"clock_timestamp", Rule::kWallClock},
    {"timeofday", Rule::kWallClock},
    {"age", Rule::kWallClock},
    {"pg_postmaster_start_time", Rule::kWallClock},
    {"pg_conf_load_time", Rule::kWallClock},
    {"nextval", Rule::kSequence},
    {"currval", Rule::kSequence},
    {"lastval", Rule::kSequence},
    {"setval", Rule::kSequence},
    {"pg_sequence_last_value", Rule::kSequence},
    {"pg_sequence_parameters", Rule::kSequence},
    {"pg_notify", Rule::kNotify},
    {"set_config", Rule::kSetStatement},
    {"current_setting", Rule::kSessionState},
    {"current_user", Rule::kSessionState},
    {"session_user", Rule::kSessionState},
    {"getpgusername", Rule::kSessionState},
    {"current_database", Rule::kSessionState},
    {"current_schema", Rule::kSessionState},
    {"current_schemas", Rule::kSessionState},
    {"current_query", Rule::kSessionState},
    {"inet_client_addr", Rule::kSessionState},
    {"inet_client_port", Rule::kSessionState},
    {"inet_server_addr", Rule::kSessionState},
    {"inet_server_port", Rule::kSessionState},
    {"pg_backend_pid", Rule::kSessionState},
    {"pg_trigger_depth", Rule::kSessionState},
    {"pg_my_temp_schema", Rule::kSessionState},
    {"pg_is_in_recovery", Rule::kSessionState},
    {"txid_current", Rule::kSessionState},
    {"txid_current_if_assigned", Rule::kSessionState},
    {"txid_current_snapshot", Rule::kSessionState},
    {"txid_status", Rule::kSessionState},
    {"pg_current_xact_id", Rule::kSessionState},
    {"pg_current_xact_id_if_assigned", Rule::kSessionState},
    {"pg_current_snapshot", Rule::kSessionState},
    {"pg_xact_status", Rule::kSessionState},
    {"pg_xact_commit_timestamp", Rule::kSessionState},
    {"pg_current_wal_lsn", Rule::kSessionState},
    {"version", Rule::kSessionState},
    {"getdatabaseencoding", Rule::kSessionState},
    {"pg_client_encoding", Rule::kSessionState},
    {"pg_export_snapshot", Rule::kSessionState},
    {"pg_logical_emit_message", Rule::kUnsafeFunction},
    {"query_to_xml", Rule::kDynamicSql},
    {"query_to_xmlschema", Rule::kDynamicSql},
    {"query_to_xml_and_xmlschema", Rule::kDynamicSql},
    {"cursor_to_xml", Rule::kDynamicSql},
    {"ts_stat", Rule::kDynamicSql},
    {"ts_rewrite", Rule::kDynamicSql},
};

// Stable, but only for settings that are fixed where contracts run, or for the output functions of other types.
const char* const kFixedStable[] = {
    "anytextcat", "array_in", "array_out", "array_to_json", "array_to_string", "cash_in", "cash_out", "concat", "concat_ws",
    "convert", "convert_from", "convert_to", "date", "date_cmp_timestamptz", "date_eq_timestamptz", "date_ge_timestamptz",
    "date_gt_timestamptz", "date_in", "date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz", "date_out", "date_part",
    "date_trunc", "domain_in", "enum_first", "enum_in", "enum_last", "enum_out", "enum_range", "extract", "format",
    "generate_series", "interval_in", "interval_out", "interval_pl_timestamptz", "json_agg", "json_agg_transfn", "json_build_array",
    "json_build_object", "json_object_agg", "json_object_agg_transfn", "json_populate_record", "json_populate_recordset",
    "json_to_record", "json_to_recordset", "json_to_tsvector", "jsonb_agg", "jsonb_agg_finalfn", "jsonb_agg_transfn",
    "jsonb_build_array", "jsonb_build_object", "jsonb_object_agg", "jsonb_object_agg_finalfn", "jsonb_object_agg_transfn",
    "jsonb_path_exists_tz", "jsonb_path_match_tz", "jsonb_path_query_array_tz", "jsonb_path_query_first_tz", "jsonb_path_query_tz",
    "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_to_record", "jsonb_to_recordset", "length", "make_timestamptz",
    "money", "multirange_in", "multirange_out", "numeric", "overlaps", "pg_collation_for", "pg_typeof", "quote_literal",
    "quote_nullable", "range_in", "range_out", "in_range", "record_in", "record_out", "row_to_json", "textanycat", "time", "time_in",
    "timestamp", "timestamp_cmp_timestamptz", "timestamp_eq_timestamptz", "timestamp_ge_timestamptz", "timestamp_gt_timestamptz",
    "timestamp_in", "timestamp_le_timestamptz", "timestamp_lt_timestamptz", "timestamp_ne_timestamptz", "timestamp_out",
    "timestamptz", "timestamptz_cmp_date", "timestamptz_cmp_timestamp", "timestamptz_eq_date", "timestamptz_eq_timestamp",
    "timestamptz_ge_date", "timestamptz_ge_timestamp", "timestamptz_gt_date", "timestamptz_gt_timestamp", "timestamptz_in",
    "timestamptz_le_date", "timestamptz_le_timestamp", "timestamptz_lt_date", "timestamptz_lt_timestamp",
    "timestamptz_mi_interval", "timestamptz_ne_date", "timestamptz_ne_timestamp", "timestamptz_out", "timestamptz_pl_interval",
    "timetz", "timetz_in", "timezone", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "to_timestamp", "xml", "xml_in",
    "xml_is_well_formed"};

const char* const kAuthority[] = {"origin_node", "session_user_name", "caller_key"};
// Of schema dadbs; immutable ones are allowed as well.
const char* const kOffered[] = {"block_time",   "block_height",      "transaction_id", "origin_node", "origin_node_id",
                                "session_user_name", "caller_key", "contract_name"};

template <size_t N>
bool IsIn(const char* const (&names)[N], const char* name) {
  for (const char* const n : names)
    if (strcmp(n, name) == 0) return true;
  return false;
}

struct Facts {
  char name[NAMEDATALEN];
  char schema[NAMEDATALEN];
  Oid namespace_oid, language;
  char volatility, kind;
  bool security_definer;
};

bool Look(Oid function, Facts* facts) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  strlcpy(facts->name, NameStr(form->proname), NAMEDATALEN);
  facts->namespace_oid = form->pronamespace;
  facts->language = form->prolang;
  facts->volatility = form->provolatile;
  facts->kind = form->prokind;
  facts->security_definer = form->prosecdef;
  ReleaseSysCache(tuple);
  const char* const schema = get_namespace_name(facts->namespace_oid);
  strlcpy(facts->schema, schema == nullptr ? "" : schema, NAMEDATALEN);
  return true;
}

const char* HintOf(Rule rule) {
  switch (rule) {
    case Rule::kWallClock: return kBlockTimeHint;
    case Rule::kSequence: return kSequenceHint;
    case Rule::kSessionState: return kSessionHint;
    case Rule::kVolatileFunction: return kRandomHint;
    case Rule::kCatalogAccess: return kCatalogHint;
    case Rule::kAdvisoryLock: return kLockHint;
    case Rule::kNotify: return "Write a row that listeners look at.";
    case Rule::kSetStatement: return "The settings of contracts are fixed.";
    case Rule::kDynamicSql: return "Write the statement itself, with variables where values stand.";
    default: return "Use immutable built-in functions, the functions of contracts that dadbs offers, or another contract.";
  }
}

bool StartsWith(const char* name, const char* prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

Rule RuleOfBuiltIn(const Facts& facts) {
  for (const Refusal& r : kRefusals)
    if (strcmp(r.name, facts.name) == 0) return r.rule;
  if (strstr(facts.name, "advisory") != nullptr) return Rule::kAdvisoryLock;
  if (StartsWith(facts.name, "pg_stat_get") || StartsWith(facts.name, "pg_get_") || StartsWith(facts.name, "has_") ||
      StartsWith(facts.name, "to_reg") || StartsWith(facts.name, "reg") || strstr(facts.name, "_is_visible") != nullptr ||
      strstr(facts.name, "_to_xml") != nullptr || strstr(facts.name, "_description") != nullptr ||
      strcmp(facts.name, "format_type") == 0 || strcmp(facts.name, "pg_has_role") == 0)
    return Rule::kCatalogAccess;
  if (StartsWith(facts.name, "pg_read_") || StartsWith(facts.name, "pg_ls_") || StartsWith(facts.name, "lo_") ||
      StartsWith(facts.name, "pg_stat_file"))
    return Rule::kUnsafeFunction;
  return facts.volatility == PROVOLATILE_VOLATILE ? Rule::kVolatileFunction : Rule::kUnsafeFunction;
}

void CheckBuiltIn(Analysis* a, const Facts& facts, int location) {
  if (facts.volatility == PROVOLATILE_IMMUTABLE) return;
  if (facts.volatility == PROVOLATILE_STABLE && IsIn(kFixedStable, facts.name)) return;
  if (facts.kind == PROKIND_AGGREGATE && facts.volatility != PROVOLATILE_VOLATILE) return;
  Rule const rule = RuleOfBuiltIn(facts);
  Report(a, rule, location, HintOf(rule), "%s() does not give the same on every member", facts.name);
}

void CheckOwn(Analysis* a, const Facts& facts, int location) {
  if (IsIn(kOffered, facts.name) || facts.volatility == PROVOLATILE_IMMUTABLE) return;
  const char* hint = HintOf(Rule::kUnsafeFunction);
  if (strstr(facts.name, "call_contract") != nullptr) hint = "Use CALL contracts.NAME(...).";
  Report(a, Rule::kUnsafeFunction, location, hint, "dadbs.%s() is not for contracts", facts.name);
}

void CheckBody(Analysis* a, Oid function, const Facts& facts, int location) {
  if (list_member_oid(a->functions, function)) return;  // calls itself: looked at already
  if (a->nesting >= kNestingMax) {
    Report(a, Rule::kUnsafeFunction, location, "Call fewer functions inside of functions.", "functions are nested too deeply at %s()",
           facts.name);
    return;
  }
  List* const inner = AnalyzeFunctionBody(a, function);
  ListCell* cell;
  foreach (cell, inner) {
    const auto* const f = static_cast<const RawFinding*>(lfirst(cell));
    if (!f->error) continue;
    Report(a, f->rule == Rule::kInvalid ? Rule::kUnsafeFunction : f->rule, location, f->hint, "in function %s(), line %d: %s",
           facts.name, f->line, f->message);
  }
}

void CheckUsers(Analysis* a, Oid function, const Facts& facts, int location) {
  const char* const language = get_language_name(facts.language, true);
  bool const readable = language != nullptr && (strcmp(language, "sql") == 0 || strcmp(language, "plpgsql") == 0);
  if (!readable) {
    Report(a, Rule::kUnsafeFunction, location, HintOf(Rule::kUnsafeFunction), "function %s.%s() is written in language %s",
           facts.schema, facts.name, language == nullptr ? "unknown" : language);
  } else if (facts.security_definer) {
    Report(a, Rule::kUnauthorizedAccess, location, "Make it a contract, or SECURITY INVOKER.",
           "function %s.%s() runs with the rights of its owner", facts.schema, facts.name);
  } else if (facts.kind != PROKIND_FUNCTION || facts.volatility != PROVOLATILE_IMMUTABLE) {
    Report(a, Rule::kUnsafeFunction, location, "Make it a contract, or declare it IMMUTABLE if its result depends on its arguments only.",
           "function %s.%s() is neither a contract nor immutable", facts.schema, facts.name);
  } else {
    CheckBody(a, function, facts, location);
  }
}

}  // namespace

bool IsBuiltIn(Oid function) { return function < FirstUnpinnedObjectId; }

void CheckFunction(Analysis* a, Oid function, int location) {
  Facts facts;
  if (!OidIsValid(function) || !Look(function, &facts)) return;
  if (facts.namespace_oid == PG_CATALOG_NAMESPACE && function < FirstNormalObjectId) {
    CheckBuiltIn(a, facts, location);
  } else if (strcmp(facts.schema, "dadbs") == 0) {
    CheckOwn(a, facts, location);
  } else if (strcmp(facts.schema, "contracts") == 0) {
    if (a->nesting == 0 && strcmp(facts.name, a->name) == 0)
      Report(a, Rule::kReentrancy, location, "Use a loop with a bound.", "contract \"%s\" calls itself", a->name);
    else
      a->called = lappend(a->called, pstrdup(facts.name));
  } else {
    CheckUsers(a, function, facts, location);
  }
  if (pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
    Report(a, Rule::kUnauthorizedAccess, location, "Ask its owner for EXECUTE.", "permission denied for function %s.%s()",
           facts.schema, facts.name);
}

void CheckCall(Analysis* a, CallStmt* call) {
  if (call->funcexpr != nullptr) CheckFunction(a, call->funcexpr->funcid, call->funcexpr->location);
}

bool IsAuthorityFunction(Oid function) {
  if (IsBuiltIn(function)) return false;
  Facts facts;
  return Look(function, &facts) && strcmp(facts.schema, "dadbs") == 0 && IsIn(kAuthority, facts.name);
}

bool IsContractMarker(Oid function) {
  if (IsBuiltIn(function)) return false;
  Facts facts;
  return Look(function, &facts) && strcmp(facts.schema, "dadbs") == 0 && strcmp(facts.name, "contract") == 0;
}

}  // namespace dadbs::pg::analysis
