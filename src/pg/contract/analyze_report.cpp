/*
 * analyze_report.cpp: the rules' names and severities, findings, and errors of PostgreSQL that become findings.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
}

namespace dadbs::pg::analysis {
namespace {

struct RuleText {
  const char* name;
  bool error;
};

RuleText TextOf(Rule rule) {
  switch (rule) {
    case Rule::kInvalid: return {"invalid", true};
    case Rule::kVolatileFunction: return {"volatile_function", true};
    case Rule::kWallClock: return {"wall_clock", true};
    case Rule::kSessionState: return {"session_state", true};
    case Rule::kSequence: return {"sequence", true};
    case Rule::kUnsafeFunction: return {"unsafe_function", true};
    case Rule::kDynamicSql: return {"dynamic_sql", true};
    case Rule::kSqlInjection: return {"sql_injection", true};
    case Rule::kTemporaryTable: return {"temporary_table", true};
    case Rule::kUnorderedLoop: return {"unordered_loop", true};
    case Rule::kUnorderedCursor: return {"unordered_cursor", true};
    case Rule::kUnorderedLimit: return {"unordered_limit", true};
    case Rule::kUnorderedAggregate: return {"unordered_aggregate", true};
    case Rule::kUnorderedWindow: return {"unordered_window", true};
    case Rule::kUnorderedResult: return {"unordered_result", true};
    case Rule::kFloatAggregate: return {"float_aggregate", true};
    case Rule::kDistinctOn: return {"distinct_on", true};
    case Rule::kSystemColumn: return {"system_column", true};
    case Rule::kCatalogAccess: return {"catalog_access", true};
    case Rule::kLocalObject: return {"local_object", true};
    case Rule::kUnauthorizedAccess: return {"unauthorized_access", true};
    case Rule::kSetStatement: return {"set_statement", true};
    case Rule::kTransactionControl: return {"transaction_control", true};
    case Rule::kNotify: return {"notify", true};
    case Rule::kCopy: return {"copy", true};
    case Rule::kDoBlock: return {"do_block", true};
    case Rule::kDdl: return {"ddl", true};
    case Rule::kAdvisoryLock: return {"advisory_lock", true};
    case Rule::kSkipLocked: return {"skip_locked", true};
    case Rule::kExplicitLock: return {"explicit_lock", true};
    case Rule::kIntoWithoutStrict: return {"into_without_strict", true};
    case Rule::kAmbiguousUpdate: return {"ambiguous_update", true};
    case Rule::kExceptionBlock: return {"exception_block", true};
    case Rule::kUncountedNesting: return {"uncounted_nesting", true};
    case Rule::kMissingReturn: return {"missing_return", true};
    case Rule::kUnboundedLoop: return {"unbounded_loop", false};
    case Rule::kUnboundedScan: return {"unbounded_scan", false};
    case Rule::kIntegerOverflow: return {"integer_overflow", false};
    case Rule::kDivisionByZero: return {"division_by_zero", false};
    case Rule::kReentrancy: return {"reentrancy", false};
    case Rule::kFloatMoney: return {"float_money", false};
    case Rule::kMissingAuthorization: return {"missing_authorization", false};
  }
  return {"invalid", true};
}

int CountLines(const char* text, int bytes) {
  int lines = 0;
  for (int i = 0; i < bytes && text[i] != '\0'; i++) lines += text[i] == '\n';
  return lines;
}

int LineOf(const Analysis* a, int location) {
  if (a->query == nullptr || location < 0) return a->line;
  return a->query_line + CountLines(a->query, location);
}

void Add(Analysis* a, Rule rule, bool error, int line, const char* hint, const char* format, va_list arguments) {
  MemoryContext const old = MemoryContextSwitchTo(a->results);
  char* const message = static_cast<char*>(palloc(1024));
  vsnprintf(message, 1024, format, arguments);
  message[pg_mbcliplen(message, static_cast<int>(strlen(message)), 1000)] = '\0';
  ListCell* cell;
  bool known = false;
  foreach (cell, a->findings) {
    auto* const f = static_cast<RawFinding*>(lfirst(cell));
    known = known || (f->rule == rule && f->line == line && strcmp(f->message, message) == 0);
  }
  if (!known) {
    auto* const finding = static_cast<RawFinding*>(palloc(sizeof(RawFinding)));
    *finding = {rule, error, line, message, pstrdup(hint == nullptr ? "" : hint)};
    a->findings = lappend(a->findings, finding);
  }
  MemoryContextSwitchTo(old);
}


}  // namespace

const char* RuleName(Rule rule) { return TextOf(rule).name; }
bool IsErrorRule(Rule rule) { return TextOf(rule).error; }

void Report(Analysis* a, Rule rule, int location, const char* hint, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Add(a, rule, IsErrorRule(rule), LineOf(a, location), hint, format, arguments);
  va_end(arguments);
}

void ReportAs(Analysis* a, Rule rule, bool error, int location, const char* hint, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Add(a, rule, error, LineOf(a, location), hint, format, arguments);
  va_end(arguments);
}

void ReportText(Analysis* a, Rule rule, bool error, int line, const char* message, const char* hint) {
  int const statement = a->line;
  const char* const query = a->query;
  a->line = line;
  a->query = nullptr;
  ReportAs(a, rule, error, -1, hint, "%s", message);
  a->line = statement;
  a->query = query;
}

bool IsOwnTrouble(int sqlstate) {
  switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case ERRCODE_INSUFFICIENT_RESOURCES:  // 53
    case ERRCODE_OPERATOR_INTERVENTION:   // 57
    case ERRCODE_SYSTEM_ERROR:            // 58
    case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
    case MAKE_SQLSTATE('0', '8', '0', '0', '0'): return true;
    default: return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_DATA_CORRUPTED;
  }
}

// As the position would refuse it (RaiseForbidden).
bool IsOfPosition(const ErrorData* error) {
  return error->sqlerrcode == ERRCODE_FEATURE_NOT_SUPPORTED && error->message != nullptr && strncmp(error->message, "contracts cannot ", 17) == 0;
}

// Positions of the PL/pgSQL compiler refer to the body (internalquery), those of the analyser to the query.
void ReportFailure(Analysis* a, ErrorData* error) {
  int line = a->line;
  if (error->internalquery != nullptr && error->internalpos > 0) {
    int const bytes = pg_mbcharcliplen(error->internalquery, static_cast<int>(strlen(error->internalquery)), error->internalpos - 1);
    line = 1 + CountLines(error->internalquery, bytes);
  } else if (a->query != nullptr && error->cursorpos > 0) {
    int const bytes = pg_mbcharcliplen(a->query, static_cast<int>(strlen(a->query)), error->cursorpos - 1);
    line = LineOf(a, bytes);
  }
  const char* const hint = error->hint != nullptr ? error->hint : error->detail != nullptr ? error->detail : "";
  Rule const rule = error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ? Rule::kUnauthorizedAccess
                    : IsOfPosition(error)                               ? Rule::kUncountedNesting
                                                                        : Rule::kInvalid;
  ReportText(a, rule, true, line, error->message == nullptr ? "not valid" : error->message, hint);
}

void BeginTry() { BeginInternalSubTransaction(nullptr); }

void EndTry() { ReleaseCurrentSubTransaction(); }

void AbortTry(Analysis* a, bool quiet, MemoryContext context) {
  MemoryContextSwitchTo(context);
  ErrorData* const error = CopyErrorData();
  FlushErrorState();
  RollbackAndReleaseCurrentSubTransaction();
  MemoryContextSwitchTo(context);
  if (IsOwnTrouble(error->sqlerrcode)) ReThrowError(error);
  if (!quiet) ReportFailure(a, error);
}

}  // namespace dadbs::pg::analysis
