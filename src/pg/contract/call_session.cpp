/*
 * call_session.cpp: the SQL functions that call contracts, in the session.
 *
 * The session only prepares: it looks up what the contract takes here and now, casts the arguments to these types as a function call
 * does, and writes them as text that means the same everywhere. It hands that over (HoldCalls), waits, and reads the result where the
 * apply worker has put it, in dadbs_internal.contract_run, in a snapshot of its own. What the position decides otherwise (the contract
 * has been replaced, EXECUTE revoked) is the verdict there.
 */
#include "internal.h"

#include "../ddl/internal.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_call_contract);
PG_FUNCTION_INFO_V1(dadbs_call_contracts);
PG_FUNCTION_INFO_V1(dadbs_call_contract_signed);
PG_FUNCTION_INFO_V1(dadbs_call_message);
PG_FUNCTION_INFO_V1(dadbs_contract_procedure);
}

namespace dadbs::pg {
namespace contract {
namespace {

// ---- a call, palloc'd

struct Value {
  Oid type;  // UNKNOWNOID: a C string
  Datum datum;
  bool is_null;
};

struct PreparedCall {
  char* name;
  char* role;
  int count;
  char** types;
  char** values;  // null: NULL
  Oid result;
  const char* key;  // null: not signed
  const char* nonce;
  const char* signature;
};

[[noreturn]] void RaiseArguments(const char* name, const Signature& signature, const char* detail) {
  ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("contract \"%s\" takes (%s)", name, signature.arguments),
                  errdetail("%s", detail)));
  pg_unreachable();
}

// As in the call of a function: implicit casts only.
Datum CastTo(Oid type, const Value& value, EState* estate, const char* name, const Signature& signature, bool* is_null) {
  *is_null = value.is_null;
  if (value.type == UNKNOWNOID) {
    Oid input, parameter;
    getTypeInputInfo(type, &input, &parameter);
    return value.is_null ? Datum(0) : OidInputFunctionCall(input, DatumGetCString(value.datum), parameter, -1);
  }
  int16 length;
  bool by_value;
  get_typlenbyval(value.type, &length, &by_value);
  Node* const constant = reinterpret_cast<Node*>(
      makeConst(value.type, -1, get_typcollation(value.type), length, value.is_null ? Datum(0) : value.datum, value.is_null, by_value));
  Node* const cast = coerce_to_target_type(nullptr, constant, value.type, type, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
  if (cast == nullptr)
    RaiseArguments(name, signature, psprintf("A value of type %s cannot become %s.", format_type_be(value.type), format_type_be(type)));
  ExprState* const state = ExecPrepareExpr(reinterpret_cast<Expr*>(cast), estate);
  return ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate), is_null);
}

char* TextOf(Oid type, Datum value) {
  Oid output;
  bool is_varlena;
  getTypeOutputInfo(type, &output, &is_varlena);
  return OidOutputFunctionCall(output, value);
}

// Texts and results mean the same in all sessions and workers.
int EnterFixedSettings() {
  ddl::Statement statement = {};
  statement.search_path = pstrdup("");
  return ddl::EnterEnvironment(statement);
}

PreparedCall* Prepare(const char* name, const Value* values, int count) {
  Signature const signature = FindCallable(name);
  Oid const procedure = FindProcedure(name);
  if (OidIsValid(procedure)) CheckMayExecute(procedure, GetUserId(), name);
  if (signature.count != count) RaiseArguments(name, signature, psprintf("It was given %d.", count));
  auto* const call = static_cast<PreparedCall*>(palloc0(sizeof(PreparedCall)));
  call->name = pstrdup(name);
  call->role = ddl::AuthorRole();
  call->count = count;
  call->types = static_cast<char**>(palloc0(sizeof(char*) * (count + 1)));
  call->values = static_cast<char**>(palloc0(sizeof(char*) * (count + 1)));
  call->result = signature.result;
  EState* const estate = CreateExecutorState();
  auto* const cast = static_cast<NullableDatum*>(palloc0(sizeof(NullableDatum) * (count + 1)));
  for (int i = 0; i < count; i++) cast[i].value = CastTo(signature.types[i], values[i], estate, name, signature, &cast[i].isnull);
  int const level = EnterFixedSettings();
  for (int i = 0; i < count; i++) {
    call->types[i] = TravellingType(signature.types[i]);
    call->values[i] = cast[i].isnull ? nullptr : TextOf(signature.types[i], cast[i].value);
  }
  ddl::LeaveEnvironment(level);
  return call;
}

core::CallChange ToChange(const PreparedCall& call) {
  core::CallChange change;
  change.name = call.name;
  change.role = call.role;
  for (int i = 0; i < call.count; i++)
    change.arguments.push_back({call.types[i], call.values[i] == nullptr, call.values[i] != nullptr ? call.values[i] : ""});
  change.is_signed = call.key != nullptr;
  if (!change.is_signed) return change;
  memcpy(change.key.bytes.data(), call.key, change.key.bytes.size());
  change.nonce = call.nonce;
  memcpy(change.signature.bytes.data(), call.signature, change.signature.bytes.size());
  return change;
}

// ---- results

// Of the calls at the position, in their order. Our own snapshot: the caller's is older.
void ReadResults(core::Position position, int count, Datum* values, bool* nulls) {
  Relation const relation = table_open(InternalTable("contract_run"), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(static_cast<int64>(position.height.value)));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(static_cast<int32>(position.index)));
  Relation const index = index_open(InternalTable("contract_run_pkey"), AccessShareLock);
  SysScanDesc const scan = systable_beginscan_ordered(relation, index, snapshot, 2, keys);
  int found = 0;
  for (HeapTuple tuple; found < count && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection));) {
    TupleDesc const columns = RelationGetDescr(relation);
    bool is_null;
    if (!DatumGetBool(heap_getattr(tuple, 5, columns, &is_null))) continue;
    Datum const value = heap_getattr(tuple, 8, columns, &nulls[found]);
    values[found] = nulls[found] ? Datum(0) : PointerGetDatum(DatumGetTextPCopy(value));
    found++;
  }
  systable_endscan_ordered(scan);
  index_close(index, AccessShareLock);
  UnregisterSnapshot(snapshot);
  table_close(relation, AccessShareLock);
  if (found != count) elog(ERROR, "the results of calls at " UINT64_FORMAT "/%u are not here", position.height.value, position.index);
}

// The call is committed: whatever fails now must not read as if it were not. Nor does a cancel (HoldCalls).
template <class F>
auto Committed(F&& read) -> decltype(read()) {
  MemoryContext const context = CurrentMemoryContext;
  decltype(read()) result = {};
  PG_TRY();
  { result = read(); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* const error = CopyErrorData();
    FlushErrorState();
    error->detail = psprintf("It is: %s", error->message);
    error->hint = pstrdup("Look for it in dadbs.contract_history(), and do not repeat the call.");
    error->message = pstrdup("the call is committed, but its result cannot be given");
    error->sqlerrcode = kErrUnknown;
    ReThrowError(error);
  }
  PG_END_TRY();
  return result;
}

// ---- the way

void RequireSession() {
  if (!SharingActive())
    ereport(ERROR, (errcode(kErrNotConfigured), errmsg("this database is not shared"),
                    errhint("Call dadbs.create_cluster or dadbs.join_cluster first.")));
  if (MyBackendType != B_BACKEND || ddl::Executing())
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("contracts are called by client sessions only")));
  PreventCommandIfReadOnly("the call of a contract");
  PreventCommandIfParallelMode("the call of a contract");
}

// Orders them; `values` and `nulls`: their results as text.
void Order(PreparedCall* const* calls, int count, Datum* values, bool* nulls) {
  RequireNothingHeld();
  core::Position position;
  Enter([&] {
    std::vector<core::Bytes> changes;
    for (int i = 0; i < count; i++) changes.push_back(core::EncodeChange(core::Change(ToChange(*calls[i]))));
    position = HoldCalls(changes);
  });
  (void)Committed([&] { return ReadResults(position, count, values, nulls), true; });
}

Datum OrderOne(FunctionCallInfo fcinfo, PreparedCall* call) {
  Datum value;
  bool is_null;
  Order(&call, 1, &value, &is_null);
  if (is_null) PG_RETURN_NULL();
  return value;
}

// ---- arguments of the SQL functions

char* TextArgument(FunctionCallInfo fcinfo, int i, const char* name) {
  if (PG_ARGISNULL(i)) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
  return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

const char* BytesOfLength(FunctionCallInfo fcinfo, int i, int length, const char* name) {
  if (PG_ARGISNULL(i)) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
  bytea* const bytes = PG_GETARG_BYTEA_PP(i);
  if (static_cast<int>(VARSIZE_ANY_EXHDR(bytes)) != length)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must have %d bytes", name, length)));
  return VARDATA_ANY(bytes);
}

// Those from `first` on, as they were written.
Value* Values(FunctionCallInfo fcinfo, int first, int* count) {
  if (get_fn_expr_variadic(fcinfo->flinfo))
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("arguments of a contract cannot be given as a VARIADIC array")));
  *count = Max(PG_NARGS() - first, 0);
  auto* const values = static_cast<Value*>(palloc0(sizeof(Value) * (*count + 1)));
  for (int i = 0; i < *count; i++)
    values[i] = {get_fn_expr_argtype(fcinfo->flinfo, first + i), fcinfo->args[first + i].value, fcinfo->args[first + i].isnull};
  return values;
}

char* Nonce(FunctionCallInfo fcinfo, int i) {
  char* const nonce = TextArgument(fcinfo, i, "nonce");
  if (nonce[0] == '\0' || strlen(nonce) > core::kCallNonceBytesMax)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("nonce must have 1 to %d bytes", static_cast<int>(core::kCallNonceBytesMax))));
  return nonce;
}

// ---- ["name", argument, ...]

char* ScalarText(const JsonbValue& value) {
  switch (value.type) {
    case jbvString: return pnstrdup(value.val.string.val, value.val.string.len);
    case jbvNumeric: return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
    case jbvBool: return pstrdup(value.val.boolean ? "true" : "false");
    case jbvBinary: return JsonbToCString(nullptr, value.val.binary.data, value.val.binary.len);
    default: return nullptr;
  }
}

[[noreturn]] void RaiseShape() {
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("calls must be a JSON array of arrays"),
                  errhint("Each is [\"name\", argument, ...], and there is at least one.")));
  pg_unreachable();
}

PreparedCall* PrepareElement(const JsonbValue* element) {
  if (element == nullptr || element->type != jbvBinary || !JsonContainerIsArray(element->val.binary.data)) RaiseShape();
  JsonbContainer* const parts = element->val.binary.data;
  int const count = static_cast<int>(JsonContainerSize(parts)) - 1;
  const JsonbValue* const name = count < 0 ? nullptr : getIthJsonbValueFromContainer(parts, 0);
  if (name == nullptr || name->type != jbvString) RaiseShape();
  auto* const values = static_cast<Value*>(palloc0(sizeof(Value) * (count + 1)));
  for (int i = 0; i < count; i++) {
    char* const text = ScalarText(*getIthJsonbValueFromContainer(parts, i + 1));
    values[i] = {UNKNOWNOID, CStringGetDatum(text), text == nullptr};
  }
  return Prepare(ScalarText(*name), values, count);
}

// ---- the procedure

// Text back to the declared type.
Datum AsDeclared(Oid type, Datum shown) {
  Oid input, parameter;
  getTypeInputInfo(type, &input, &parameter);
  int const level = EnterFixedSettings();
  Datum const value = OidInputFunctionCall(input, TextDatumGetCString(shown), parameter, -1);
  ddl::LeaveEnvironment(level);
  return value;
}

Datum ResultRow(FunctionCallInfo fcinfo, Oid type, Datum shown, bool is_null) {
  TupleDesc columns;
  if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE) elog(ERROR, "the procedure of a contract has no result");
  Datum value = is_null ? Datum(0) : AsDeclared(type, shown);
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), &value, &is_null));
}

}  // namespace
}  // namespace contract
}  // namespace dadbs::pg

using namespace dadbs::pg;

// (name, VARIADIC "any") -> the result as text
extern "C" Datum dadbs_call_contract(PG_FUNCTION_ARGS) {
  contract::RequireSession();
  contract::RequireOwnStatement(fcinfo);
  char* const name = contract::TextArgument(fcinfo, 0, "name");
  int count;
  contract::Value* const values = contract::Values(fcinfo, 1, &count);
  return contract::OrderOne(fcinfo, contract::Prepare(name, values, count));
}

// (jsonb) -> the results as text[]
extern "C" Datum dadbs_call_contracts(PG_FUNCTION_ARGS) {
  contract::RequireSession();
  contract::RequireOwnStatement(fcinfo);
  Jsonb* const calls = PG_GETARG_JSONB_P(0);
  int const count = JB_ROOT_IS_ARRAY(calls) && !JB_ROOT_IS_SCALAR(calls) ? static_cast<int>(JB_ROOT_COUNT(calls)) : 0;
  if (count == 0) contract::RaiseShape();
  if (count > kCallsMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("more than %d calls in one transaction", kCallsMax)));
  auto** const prepared = static_cast<contract::PreparedCall**>(palloc(sizeof(contract::PreparedCall*) * count));
  for (int i = 0; i < count; i++) prepared[i] = contract::PrepareElement(getIthJsonbValueFromContainer(&calls->root, i));
  auto* const values = static_cast<Datum*>(palloc0(sizeof(Datum) * count));
  auto* const nulls = static_cast<bool*>(palloc0(sizeof(bool) * count));
  contract::Order(prepared, count, values, nulls);
  int dimension = count, bound = 1;
  PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &dimension, &bound, TEXTOID, -1, false, TYPALIGN_INT));
}

// (name, key, nonce, signature, VARIADIC "any") -> the result as text
extern "C" Datum dadbs_call_contract_signed(PG_FUNCTION_ARGS) {
  contract::RequireSession();
  contract::RequireOwnStatement(fcinfo);
  char* const name = contract::TextArgument(fcinfo, 0, "name");
  int count;
  contract::Value* const values = contract::Values(fcinfo, 4, &count);
  const char* const key = contract::BytesOfLength(fcinfo, 1, dadbs::core::PublicKey::kSize, "key");
  const char* const signature = contract::BytesOfLength(fcinfo, 3, dadbs::core::Signature::kSize, "signature");
  char* const nonce = contract::Nonce(fcinfo, 2);
  contract::PreparedCall* const call = contract::Prepare(name, values, count);
  call->key = key;
  call->nonce = nonce;
  call->signature = signature;
  return contract::OrderOne(fcinfo, call);
}

// (name, nonce, VARIADIC "any") -> what the signature is over
extern "C" Datum dadbs_call_message(PG_FUNCTION_ARGS) {
  if (!SharingActive()) ereport(ERROR, (errcode(kErrNotConfigured), errmsg("this database is not shared")));
  char* const name = contract::TextArgument(fcinfo, 0, "name");
  char* const nonce = contract::Nonce(fcinfo, 1);
  int count;
  contract::Value* const values = contract::Values(fcinfo, 2, &count);
  contract::PreparedCall* const call = contract::Prepare(name, values, count);
  call->nonce = nonce;
  bytea* message = nullptr;
  Enter([&] {
    dadbs::core::Digest chain_id;
    memcpy(chain_id.bytes.data(), shared->chain_id, sizeof(shared->chain_id));
    dadbs::core::CallChange change = contract::ToChange(*call);
    change.nonce = nonce;
    dadbs::core::Bytes const bytes = dadbs::core::CallMessage(chain_id, change);
    message = Call([&] { return MakeBytea(bytes); });
  });
  PG_RETURN_BYTEA_P(message);
}

// The procedures contracts.NAME: arguments as the contract declares them, then INOUT its result.
extern "C" Datum dadbs_contract_procedure(PG_FUNCTION_ARGS) {
  contract::RequireSession();
  contract::RequireOwnStatement(fcinfo);
  const char* const name = get_func_name(fcinfo->flinfo->fn_oid);
  if (name == nullptr || contract::FindProcedure(name) != fcinfo->flinfo->fn_oid)
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("this procedure is no contract's")));
  bool const has_result = get_func_rettype(fcinfo->flinfo->fn_oid) == RECORDOID;
  int const count = PG_NARGS() - (has_result ? 1 : 0);
  auto* const values = static_cast<contract::Value*>(palloc0(sizeof(contract::Value) * (count + 1)));
  Oid* types = nullptr;
  int all;
  (void)get_func_signature(fcinfo->flinfo->fn_oid, &types, &all);
  for (int i = 0; i < count; i++) values[i] = {types[i], fcinfo->args[i].value, fcinfo->args[i].isnull};
  contract::PreparedCall* call = contract::Prepare(name, values, count);
  Datum shown;
  bool is_null;
  contract::Order(&call, 1, &shown, &is_null);
  if (!has_result) return Datum(0);
  return contract::Committed([&] { return contract::ResultRow(fcinfo, call->result, shown, is_null); });
}
