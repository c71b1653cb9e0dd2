/*
 * analyze.cpp: the analysis of a contract from outside: AnalyzeContract and dadbs.analyze_contract.
 *
 * All work is done in a subtransaction that is rolled back at the end, whatever comes out: locks, caches and settings are as
 * before. Findings are kept in a memory context outside of it. Functions that the contract calls are analysed alike, nested.
 */
#include "dadbs/pg/contract_analysis.h"

#include "dadbs/core/types.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/records.h"

#include "analyze_internal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dadbs_analyze_contract);
}

namespace dadbs::pg::analysis {
namespace {

struct Input {
  const char *name, *language, *body, *arguments, *returns;
  bool trigger;
  Oid table;
};

// The declaration as CREATE FUNCTION would read it; what else stands in the texts is refused.
CreateFunctionStmt* ParseDeclaration(const Input& in) {
  bool const procedure = in.returns[0] == '\0';
  char* const text = procedure ? psprintf("CREATE PROCEDURE c(%s) LANGUAGE sql AS ''", in.arguments)
                               : psprintf("CREATE FUNCTION c(%s) RETURNS %s LANGUAGE sql AS ''", in.arguments, in.returns);
  List* const raw = raw_parser(text, RAW_PARSE_DEFAULT);
  auto* const statement = reinterpret_cast<CreateFunctionStmt*>(list_length(raw) == 1 ? linitial_node(RawStmt, raw)->stmt : nullptr);
  if (statement == nullptr || !IsA(statement, CreateFunctionStmt) || list_length(statement->options) != 2)
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the arguments or the result are not declared as in CREATE FUNCTION")));
  return statement;
}

Signature SignatureOf(const Input& in) {
  CreateFunctionStmt* const statement = ParseDeclaration(in);
  Signature signature = {};
  signature.procedure = statement->is_procedure;
  signature.arguments = static_cast<Argument*>(palloc0(sizeof(Argument) * static_cast<Size>(list_length(statement->parameters) + 1)));
  int outputs = 0;
  ListCell* cell;
  foreach (cell, statement->parameters) {
    auto* const parameter = lfirst_node(FunctionParameter, cell);
    Argument& argument = signature.arguments[signature.count++];
    argument.name = parameter->name == nullptr ? pstrdup("") : parameter->name;
    argument.type = typenameTypeId(nullptr, parameter->argType);
    argument.mode = parameter->mode == FUNC_PARAM_DEFAULT ? static_cast<char>(PROARGMODE_IN) : static_cast<char>(parameter->mode);
    outputs += argument.mode == PROARGMODE_TABLE;
    signature.returns_set = signature.returns_set || argument.mode == PROARGMODE_TABLE;
  }
  signature.returns = statement->returnType == nullptr || signature.procedure ? VOIDOID : typenameTypeId(nullptr, statement->returnType);
  if (statement->returnType != nullptr && !signature.procedure)
    signature.returns_set = signature.returns_set || statement->returnType->setof;
  if (outputs > 1) signature.returns = RECORDOID;
  return signature;
}

void ReportAuthorization(Analysis* a) {
  if (a->nesting > 0 || !a->unauthorized_end) return;
  a->line = a->unauthorized_line;
  a->query = nullptr;
  Report(a, Rule::kMissingAuthorization, -1, "Ask dadbs.origin_node(), dadbs.session_user_name() or dadbs.caller_key() before.",
         "whoever may call the contract writes table \"%s\": nothing asks who calls",
         a->unauthorized_table == nullptr ? "?" : a->unauthorized_table);
}

void AnalyzeSql(Analysis* a) {
  a->query = a->body;
  a->query_line = a->line = 1;
  for (int i = 0; i < a->signature.count; i++) a->inputs = bms_add_member(a->inputs, i);
  List* statements = NIL;
  List** const result = &statements;
  if (!Try(a, false, [=] { *result = raw_parser(a->body, RAW_PARSE_DEFAULT); })) return;
  ListCell* cell;
  foreach (cell, statements) {
    auto* const raw = lfirst_node(RawStmt, cell);
    int at = raw->stmt_location;
    a->line = 1;
    for (int i = 0; i < at; i++) a->line += a->body[i] == '\n';
    while (a->body[at] == '\n' || a->body[at] == ' ') a->line += a->body[at++] == '\n';
    List* const queries = ParseSqlBody(a, raw);
    bool const last = lnext(statements, cell) == nullptr;
    Use const use = last && a->signature.returns != VOIDOID ? Use::kResult : Use::kDiscarded;
    CheckQueries(a, queries, use);
  }
  a->unauthorized_end = a->unauthorized_line > 0;
}

void AnalyzePlpgsql(Analysis* a) {
  a->line = 1;
  if (!Try(a, false, [=] { a->function = CompileBody(a); })) return;
  PrepareVariables(a);
  WalkFunction(a);
}

void AnalyzeText(Analysis* a) {
  if (a->is_sql) AnalyzeSql(a);
  else AnalyzePlpgsql(a);
  ReportAuthorization(a);
  if (a->nesting == 0) CheckCycles(a);
}

int ByLine(const ListCell* one, const ListCell* other) {
  return static_cast<const RawFinding*>(lfirst(one))->line - static_cast<const RawFinding*>(lfirst(other))->line;
}

Analysis* NewAnalysis(MemoryContext results) {
  auto* const a = static_cast<Analysis*>(palloc0(sizeof(Analysis)));
  a->results = results;
  a->work = CurrentMemoryContext;
  a->line = 1;
  a->name = "";
  return a;
}

// Text and signature of a function that exists.
bool LoadFunction(Analysis* a, Oid function) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  a->is_sql = form->prolang == SQLlanguageId;
  a->trigger = form->prorettype == TRIGGEROID;
  a->signature.returns = form->prorettype;
  a->signature.returns_set = form->proretset;
  Oid* types = nullptr;
  char **names = nullptr, *modes = nullptr;
  a->signature.count = get_func_arg_info(tuple, &types, &names, &modes);
  a->signature.arguments = static_cast<Argument*>(palloc0(sizeof(Argument) * static_cast<Size>(a->signature.count + 1)));
  for (int i = 0; i < a->signature.count; i++)
    a->signature.arguments[i] = {names == nullptr ? pstrdup("") : names[i], types[i], modes == nullptr ? static_cast<char>(PROARGMODE_IN) : modes[i]};
  bool null = true;
  SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &null);
  bool const has_tree = !null;
  Datum const source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &null);
  a->body = null ? "" : TextDatumGetCString(source);
  ReleaseSysCache(tuple);
  if (has_tree) ReportText(a, Rule::kUnsafeFunction, true, 1, "its body is not kept as text", "Give the body as text, between $$.");
  return !has_tree;
}

void AnalyzeInput(Analysis* a, const Input& in) {
  if (strlen(in.body) < NAMEDATALEN && OidIsValid(FindDeployed(in.body))) {
    a->name = in.body;
    a->given_table = in.table;
    if (LoadFunction(a, FindDeployed(in.body))) AnalyzeText(a);
    return;
  }
  bool const sql = pg_strcasecmp(in.language, "sql") == 0;
  if (!sql && pg_strcasecmp(in.language, "plpgsql") != 0)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("contracts are written in sql or plpgsql, not in \"%s\"", in.language)));
  a->name = in.name;
  a->body = in.body;
  a->is_sql = sql;
  a->trigger = in.trigger;
  a->given_table = in.table;
  if (sql && a->trigger)
    ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION), errmsg("a contract in language sql cannot be a trigger")));
  if (a->trigger) a->signature.returns = TRIGGEROID;
  else a->signature = SignatureOf(in);
  AnalyzeText(a);
}

// In the caller's context: a list of RawFinding.
List* Analyze(const Input& in) {
  MemoryContext const caller = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  MemoryContext const work = AllocSetContextCreate(caller, "dadbs contract analysis", ALLOCSET_DEFAULT_SIZES);
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(work);
  Analysis* const a = NewAnalysis(caller);
  ErrorData* volatile trouble = nullptr;  // of this server: the subtransaction ends first, then it goes on to the caller
  PG_TRY();
  { Try(a, false, [=, &in] { AnalyzeInput(a, in); }); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(caller);
    trouble = CopyErrorData();
    FlushErrorState();
  }
  PG_END_TRY();
  RollbackAndReleaseCurrentSubTransaction();
  CurrentResourceOwner = owner;
  MemoryContextSwitchTo(caller);
  if (trouble != nullptr) ReThrowError(trouble);
  List* const findings = a->findings;
  MemoryContextDelete(work);
  list_sort(findings, ByLine);
  return findings;
}

}  // namespace

// The body of a function that a contract calls, by the same rules; its findings.
List* AnalyzeFunctionBody(Analysis* outer, Oid function) {
  return AnalyzeInner(outer, function)->findings;
}

Analysis* AnalyzeInner(Analysis* outer, Oid function) {
  Analysis* const a = NewAnalysis(CurrentMemoryContext);
  a->nesting = outer->nesting + 1;
  a->functions = list_append_unique_oid(list_copy(outer->functions), function);
  if (LoadFunction(a, function)) Try(a, false, [=] { AnalyzeText(a); });
  return a;
}

}  // namespace dadbs::pg::analysis

namespace dadbs::pg {

std::vector<Finding> AnalyzeContract(const ContractText& text) {
  bool const trigger = text.trigger || text.returns == "trigger";
  analysis::Input const in = {text.name.c_str(),      text.language.c_str(), text.body.c_str(), text.arguments.c_str(),
                              text.returns.c_str(), trigger,               text.table};
  List* const raw = Call([&] { return analysis::Analyze(in); });
  std::vector<Finding> findings;
  for (int i = 0; i < list_length(raw); i++) {
    const auto* const f = static_cast<const analysis::RawFinding*>(list_nth(raw, i));
    findings.push_back({analysis::RuleName(f->rule), f->error ? "error" : "warning", f->line, f->message, f->hint});
  }
  return findings;
}

}  // namespace dadbs::pg

extern "C" Datum dadbs_analyze_contract(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  return Enter([&]() -> Datum {
    auto const argument = [&](int i) {
      return PG_ARGISNULL(i) ? std::string() : std::string(Call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(i)); }));
    };
    ContractText text;
    text.body = argument(0);
    text.language = argument(1);
    text.arguments = argument(2);
    text.returns = argument(3);
    text.trigger = text.returns == "trigger";
    text.table = PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4);
    text.name = argument(5);
    std::vector<Finding> const findings = AnalyzeContract(text);
    Call([&] { InitMaterializedSRF(fcinfo, 0); });
    auto* const set = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    for (const Finding& f : findings)
      Row().Text(f.rule).Text(f.severity).Int32(f.line).Text(f.message).Text(f.hint).Put(set);
    return Datum(0);
  });
}
