/*
 * call.cpp: calls of contracts, executed at their position by the apply worker of every member, the origin included.
 *
 * What travelled is the contract's name, the caller's role, and arguments as text with the names of their types. Judged here, by
 * what stands at the position: whether there is such a contract, whether it takes arguments of just these types, whether the role
 * may execute it (EXECUTE on its procedure, procedure.cpp), whether the signature is right and its nonce new. Then it runs as a
 * trigger's contract does: as its owner, in the sandbox, within the same budgets, its writes captured (run.cpp, sandbox.cpp,
 * effects.cpp). Its result goes as text into dadbs_internal.contract_run, where the waiting session reads it.
 *
 * Text of arguments comes from a member that may lie: what a type's input function says about it is a verdict, whatever it says
 * (row_values.h).
 */
#include "internal.h"

#include "../apply/row_values.h"
#include "../ddl/internal.h"
#include "dadbs/core/crypto.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

char* CopyText(std::string_view s) { return pnstrdup(s.data(), s.size()); }

// ---- which contract

// What is shown and kept must be text, whatever a peer sends.
void CheckEncoding(std::string_view s) { pg_verifymbstr(s.data(), static_cast<int>(s.size()), false); }

// What travelled, as "transfer(text, numeric)". Clipped: a peer may send anything.
char* Described(const core::CallChange& call) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%s(", CopyText(call.name));
  for (size_t i = 0; i < call.arguments.size() && text.len < 512; i++) {
    std::string_view const type = call.arguments[i].type;
    int const length = pg_mbcliplen(type.data(), static_cast<int>(type.size()), NAMEDATALEN * 2);
    appendStringInfo(&text, "%s%.*s", i > 0 ? ", " : "", length, type.data());
  }
  appendStringInfoChar(&text, ')');
  return text.data;
}

bool TakesThese(const Signature& signature, const core::CallChange& call) {
  if (static_cast<size_t>(signature.count) != call.arguments.size()) return false;
  for (int i = 0; i < signature.count; i++)
    if (call.arguments[i].type != TravellingType(signature.types[i])) return false;
  return true;
}

void CheckMayCall(const char* name, std::string_view caller) {
  ddl::Statement statement = {};
  statement.role = CopyText(caller);
  Oid const procedure = FindProcedure(name);
  if (!OidIsValid(procedure)) ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" has no procedure", name)));
  CheckGroupMayExecute(procedure, ddl::ExecutingRole(statement), name);
}

Signature Find(const core::CallChange& call) {
  CheckEncoding(call.name);
  CheckEncoding(call.role);
  for (const core::CallArgument& argument : call.arguments) CheckEncoding(argument.type);
  char* const name = CopyText(call.name);
  Signature const signature = FindCallable(name);
  if (!TakesThese(signature, call))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("contract %s does not exist", Described(call)),
                    errdetail("At its position in the chain, \"%s\" takes (%s).", name, signature.arguments)));
  CheckMayCall(name, call.role);
  for (int i = 0; i < signature.count; i++) CheckTypeItself(signature.types[i]);
  CheckTypeItself(signature.result);  // RETURN converts to it without a plan: 'name' to regclass
  return signature;
}

// ---- signed calls

bool NonceIsUsed(const core::CallChange& call) {
  Relation const relation = table_open(InternalTable("call_nonce"), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(MakeBytea(call.key.view())));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(MakeBytea(core::AsBytes(call.nonce))));
  SysScanDesc const scan = systable_beginscan(relation, InternalTable("call_nonce_pkey"), true, snapshot, 2, keys);
  bool const used = HeapTupleIsValid(systable_getnext(scan));
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(relation, AccessShareLock);
  return used;
}

void UseNonce(const core::CallChange& call, const AtPosition& at) {
  Datum values[] = {PointerGetDatum(MakeBytea(call.key.view())), PointerGetDatum(MakeBytea(core::AsBytes(call.nonce))),
                    Int64GetDatum(static_cast<int64>(at.position.height.value)), Int32GetDatum(static_cast<int32>(at.position.index))};
  bool nulls[lengthof(values)] = {};
  InsertInternalRow("call_nonce", values, nulls);
  CommandCounterIncrement();
}

void CheckSignature(const core::CallChange& call, const AtPosition& at) {
  if (!call.is_signed) return;
  core::Digest chain_id;
  memcpy(chain_id.bytes.data(), shared->chain_id, sizeof(shared->chain_id));
  if (!core::Ed25519Verifier().Verify(call.key, core::CallMessage(chain_id, call), call.signature))
    throw PgError(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, "the signature of the call is not right",
                  "It must be the key's, over what dadbs.call_message() gives for the same name, nonce and arguments.");
  bool const used = Call([&] {
    bool const known = NonceIsUsed(call);
    if (!known) UseNonce(call, at);
    return known;
  });
  if (used)
    throw PgError(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, "the signed call was made before",
                  "This key has used this nonce.", "Sign each call with a new nonce.");
}

// ---- arguments and result

// As a value of a column: read as the base type, then checked as the domain.
Datum ReadArgument(Oid type, const core::CallArgument& argument, bool* is_null) {
  ColumnPlan column = {};
  PlanColumn(&column, type, -1);
  core::ColumnValue const value = {argument.is_null ? 'n' : 't', core::AsBytes(argument.value)};
  Datum const datum = ReadValue(&column, value, is_null);
  if (!column.has_constraints) return datum;
  doing = Doing::kEvaluating;
  EnterExpression();
  void* cache = nullptr;
  domain_check(datum, *is_null, type, &cache, CurrentMemoryContext);
  LeaveExpression();
  doing = Doing::kOwn;
  return datum;
}

void ReadArguments(const Signature& signature, const core::CallChange& call, NullableDatum* out) {
  StackFromHere const stack;
  doing = Doing::kOwn;
  try {
    Call([&] {
      for (int i = 0; i < signature.count; i++) out[i].value = ReadArgument(signature.types[i], call.arguments[i], &out[i].isnull);
    });
  } catch (const PgError& e) {
    ResetExpressions();
    ThrowVerdict(e);
  }
}

const char* ResultText(Oid type, Datum value) {
  Oid output;
  bool is_varlena;
  getTypeOutputInfo(type, &output, &is_varlena);
  const char* const text = OidOutputFunctionCall(output, value);
  if (strlen(text) > kResultBytesMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the result of a call is longer than %zu bytes", kResultBytesMax),
                    errhint("Let the contract write rows, and read them.")));
  return text;
}

// Postgres's own code for calling a function, for a contract.
void Invoke(const Signature& signature, const NullableDatum* arguments, size_t run) {
  FmgrInfo function;
  fmgr_info(signature.function, &function);
  LOCAL_FCINFO(call, FUNC_MAX_ARGS);
  InitFunctionCallInfoData(*call, &function, signature.count, DEFAULT_COLLATION_OID, nullptr, nullptr);
  for (int i = 0; i < signature.count; i++) call->args[i] = arguments[i];
  Datum const result = FunctionCallInvoke(call);
  if (signature.result != VOIDOID && !call->isnull) SetResult(run, ResultText(signature.result, result));
  CommandCounterIncrement();
}

void RunCall(const core::CallChange& call, const AtPosition& at) {
  Signature signature;
  char* name = nullptr;
  Oid user = InvalidOid;
  int context = 0;
  Call([&] {
    signature = Find(call);
    name = CopyText(call.name);
    running.name = name;
    running.run = BeginRun(name, true);
    CountStatement();
  });
  CheckSignature(call, at);
  running.caller = call.is_signed ? &call.key : nullptr;
  Call([&] {
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(OwnerOf(signature.function), context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  });
  NullableDatum arguments[FUNC_MAX_ARGS];
  ReadArguments(signature, call, arguments);
  Call([&] {
    running.depth = 1;
    Invoke(signature, arguments, running.run);
    running.depth = 0;
    SetUserIdAndSecContext(user, context);
  });
  running.name = nullptr;
  running.caller = nullptr;
}

}  // namespace
}  // namespace contract

void RunCalls(std::span<const core::CallChange> calls, const AtPosition& at, core::KeyList* keys) {
  contract::RunAt(at, keys, [&] {
    int const level = Call([] {
      contract::BeginSandbox();
      return contract::EnterContracts();
    });
    for (const core::CallChange& call : calls) contract::RunCall(call, at);
    Call([&] { contract::LeaveContracts(level); });
  });
}

}  // namespace dadbs::pg
