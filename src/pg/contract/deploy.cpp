/*
 * deploy.cpp: dadbs.deploy_contract and dadbs.drop_contract, in the session.
 *
 * What they do is done at once, as a definition inside a transaction is, and travels as a 'K' change of the write set: it is
 * rolled back with its transaction, and done again at the position, where who may do it is judged. The version that the author
 * is told is the one that his transaction gets: if another takes it meanwhile, COMMIT says 40001.
 */
#include "internal.h"

#include <string>

#include "../ddl/internal.h"
#include "dadbs/pg/contract_analysis.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"
#include "proposal.h"

extern "C" {
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(dadbs_deploy_contract);
PG_FUNCTION_INFO_V1(dadbs_drop_contract);
}

namespace dadbs::pg {
namespace {

// Postgres code.
void RequireSession(const char* what) {
  if (!SharingActive())
    ereport(ERROR, (errcode(kErrNotConfigured), errmsg("this database is not shared"),
                    errhint("Call dadbs.create_cluster or dadbs.join_cluster first.")));
  if (MyBackendType != B_BACKEND || ddl::Executing())
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("contracts are deployed and dropped by client sessions only")));
  PreventCommandIfReadOnly(what);
  PreventCommandIfParallelMode(what);
}

char* TextArgument(FunctionCallInfo fcinfo, int i, const char* otherwise) {
  return PG_ARGISNULL(i) ? pstrdup(otherwise) : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

void RequireValue(FunctionCallInfo fcinfo, int i, const char* name) {
  if (PG_ARGISNULL(i)) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
}

void CheckLength(const char* text, size_t bytes_max, const char* what) {
  if (strlen(text) > bytes_max)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s of a contract cannot be longer than %zu bytes", what, bytes_max)));
}

// Executes it here and puts it into the transaction's write set.
int Run(const contract::Deployment& d) {
  int const version = contract::Execute(d, nullptr);
  Enter([&] {
    EmitChange(core::Change(contract::ContractChangeOf(d)));
  });
  return version;
}

}  // namespace

// Errors refuse the deployment, warnings are told. The analysis is the author's help: what it misses, or a lying origin leaves
// out, is refused when it is met (sandbox.cpp).
void contract::Analyze(const contract::Deployment& d) {
  if (guc_deploy_unchecked) return;
  Enter([&] {
    ContractText text;
    text.name = d.name;
    text.language = d.language;
    text.body = d.body;
    text.arguments = d.arguments;
    text.returns = d.returns;
    text.trigger = pg_strcasecmp(d.returns, "trigger") == 0;
    std::string message, others, hint;
    for (const Finding& finding : AnalyzeContract(text)) {
      std::string const line = "line " + std::to_string(finding.line) + ": " + finding.message;
      if (finding.severity != "error") {
        Call([&] { ereport(WARNING, (errmsg("contract \"%s\", %s", d.name, line.c_str()), errhint("%s", finding.hint.c_str()))); });
      } else if (message.empty()) {
        message = "contract \"" + std::string(d.name) + "\" is refused: " + line;
        hint = finding.hint;
      } else {
        others += (others.empty() ? "" : "\n") + line;
      }
    }
    if (!message.empty()) throw PgError(ERRCODE_INVALID_FUNCTION_DEFINITION, message, others, hint);
  });
}

namespace {

char* Options(FunctionCallInfo fcinfo, int i) {
  if (PG_ARGISNULL(i)) return pstrdup("{}");
  Jsonb* const options = PG_GETARG_JSONB_P(i);
  JsonbIterator* iterator = JsonbIteratorInit(&options->root);
  JsonbValue value;
  if (JsonbIteratorNext(&iterator, &value, false) != WJB_BEGIN_OBJECT)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options of a contract must be a JSON object")));
  if (JsonbIteratorNext(&iterator, &value, false) == WJB_KEY)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unknown option \"%s\" of a contract", pnstrdup(value.val.string.val, value.val.string.len))));
  return pstrdup("{}");
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

// (name, body, language, arguments, returns, options) -> version
extern "C" Datum dadbs_deploy_contract(PG_FUNCTION_ARGS) {
  RequireSession("dadbs.deploy_contract()");
  RequireValue(fcinfo, 0, "name");
  RequireValue(fcinfo, 1, "body");
  contract::Deployment d = {};
  d.name = TextArgument(fcinfo, 0, "");
  d.body = TextArgument(fcinfo, 1, "");
  d.language = TextArgument(fcinfo, 2, "plpgsql");
  d.arguments = TextArgument(fcinfo, 3, "");
  d.returns = TextArgument(fcinfo, 4, PG_ARGISNULL(3) ? "trigger" : "void");
  d.options = Options(fcinfo, 5);
  d.role = ddl::AuthorRole();
  d.search_path = ddl::TravellingSearchPath();
  CheckLength(d.name, NAMEDATALEN - 1, "the name");
  CheckLength(d.language, NAMEDATALEN - 1, "the language");
  CheckLength(d.arguments, dadbs::core::kSettingBytesMax, "the arguments");
  CheckLength(d.returns, dadbs::core::kSettingBytesMax, "the type");
  if (d.language[0] == '\0' || d.returns[0] == '\0')
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("language and returns must not be empty")));
  contract::Analyze(d);
  PG_RETURN_INT32(Run(d));
}

extern "C" Datum dadbs_drop_contract(PG_FUNCTION_ARGS) {
  RequireSession("dadbs.drop_contract()");
  contract::Deployment d = {};
  d.drop = true;
  d.name = TextArgument(fcinfo, 0, "");
  CheckLength(d.name, NAMEDATALEN - 1, "the name");
  d.language = d.arguments = d.returns = d.body = d.options = d.search_path = pstrdup("");
  d.role = ddl::AuthorRole();
  (void)Run(d);
  PG_RETURN_VOID();
}
