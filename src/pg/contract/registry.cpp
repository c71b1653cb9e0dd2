/*
 * registry.cpp: what deploying and dropping a contract does: at its position in the apply worker of every member, or early in
 * the session of its author (the position then does it again, from the block).
 *
 * The same in both places: the function's text is put together here from the parts that travelled, parsed, and taken only if
 * the tree is what these parts are to say: a function of that name, that body, that language, arguments without modes and
 * defaults. It is made by dadbs_owner, who alone may create in dadbs_contract, and given to the author's role, with whose
 * rights it runs. Who may deploy is the chain's affair: CREATE on the schema "contracts", which is shared; who may replace or
 * drop: the owner. A contract that is called has a procedure as well (procedure.cpp).
 *
 * dadbs_internal.contract_version is insert-only: a version, or the end of a contract, is one row. In a session rows have no
 * position; they go with the internal abort.
 *
 * Keys: it is certified by the contract's own: two that replace it at once conflict. It writes the definitions of the tables that
 * use it as well, so that whoever wrote their rows under the old version is refused with 40001. These are not compared with its
 * base: it is done anew at the position, and under load it would never get through.
 */
#include "internal.h"
#include "triggers_of.h"

#include "../ddl/internal.h"
#include "dadbs/core/crypto.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/keys.h"

#include "../apply/row_relation.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

constexpr size_t kOptionCount = 3;  // of CREATE FUNCTION: language, as, set search_path
constexpr char kDeployHint[] = "GRANT CREATE ON SCHEMA contracts to the role; it must be a role of the group.";

// ---- the registry's rows

struct LastVersion {
  int version = 0;  // 0: never deployed
  bool dropped = false;
};

LastVersion FindLastVersion(const char* name) {
  Relation const relation = table_open(InternalTable("contract_version"), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  NameData key_name;
  namestrcpy(&key_name, name);
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&key_name));
  SysScanDesc const scan =
      systable_beginscan(relation, InternalTable("contract_version_pkey"), true, snapshot, 1, &key);
  LastVersion last;
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    bool is_null;
    int const version = DatumGetInt32(heap_getattr(tuple, 2, RelationGetDescr(relation), &is_null));
    if (version <= last.version) continue;
    last.version = version;
    last.dropped = DatumGetBool(heap_getattr(tuple, 3, RelationGetDescr(relation), &is_null));
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(relation, AccessShareLock);
  return last;
}

void AppendPart(StringInfo out, const char* part) {
  appendStringInfoString(out, part);
  appendStringInfoChar(out, '\0');
}

// Of what it says, and for whom: the same on all members, and for whoever has the parts.
Datum HashOf(const Deployment& d) {
  StringInfoData parts;
  initStringInfo(&parts);
  for (const char* part : {d.name, d.language, d.arguments, d.returns, d.body, d.options, d.role, d.search_path})
    AppendPart(&parts, part);
  core::Digest const digest = core::Hash(
      core::Domain::kContract, core::ByteView{reinterpret_cast<const uint8_t*>(parts.data), static_cast<size_t>(parts.len)});
  auto* const result = static_cast<bytea*>(palloc(VARHDRSZ + core::Digest::kSize));
  SET_VARSIZE(result, VARHDRSZ + core::Digest::kSize);
  memcpy(VARDATA(result), digest.bytes.data(), core::Digest::kSize);
  return PointerGetDatum(result);
}

constexpr int64 kEpochUs = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

void Record(const Deployment& d, int version, const AtPosition* at) {
  NameData name;
  namestrcpy(&name, d.name);
  Datum values[16] = {};
  bool nulls[lengthof(values)] = {};
  values[0] = NameGetDatum(&name);
  values[1] = Int32GetDatum(version);
  values[2] = BoolGetDatum(d.drop);
  const char* const texts[] = {d.language, d.arguments, d.returns, d.body, d.options};
  for (size_t i = 0; i < lengthof(texts); i++) {
    values[3 + i] = CStringGetTextDatum(texts[i]);
    nulls[3 + i] = d.drop;
  }
  values[8] = CStringGetTextDatum(d.role[0] != '\0' ? d.role : ddl::kOwnerRole);
  values[9] = CStringGetTextDatum(d.search_path);
  values[10] = HashOf(d);
  for (int i = 11; i < 16; i++) nulls[i] = at == nullptr;
  if (at != nullptr) {
    values[11] = CStringGetTextDatum(pnstrdup(at->user.data(), at->user.size()));
    values[12] = Int16GetDatum(static_cast<int16>(at->id.origin.value));
    values[13] = Int64GetDatum(static_cast<int64>(at->position.height.value));
    values[14] = Int32GetDatum(static_cast<int32>(at->position.index));
    values[15] = TimestampTzGetDatum(at->block_time_us - kEpochUs);
  }
  InsertInternalRow("contract_version", values, nulls);
  CommandCounterIncrement();
}

// ---- the function

[[noreturn]] void RaiseMalformed(const char* what, const char* hint) {
  ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION), errmsg("%s", what), hint ? errhint("%s", hint) : 0));
  pg_unreachable();
}

// As quote_literal, whatever the settings.
char* Literal(const char* text) { return quote_literal_cstr(text); }

char* FunctionText(const Deployment& d) {
  const char* const path = d.search_path[0] != '\0' ? psprintf("pg_catalog, %s, pg_temp", d.search_path) : "pg_catalog, pg_temp";
  return psprintf("CREATE FUNCTION %s.%s(%s) RETURNS %s LANGUAGE %s SET search_path = %s AS %s", kContractSchema,
                  quote_identifier(d.name), d.arguments, d.returns, quote_identifier(d.language), path, Literal(d.body));
}

void CheckArgument(const FunctionParameter* argument) {
  if (argument->mode != FUNC_PARAM_IN && argument->mode != FUNC_PARAM_DEFAULT)
    RaiseMalformed("arguments of a contract go in only", "Leave OUT, INOUT and VARIADIC out; the contract RETURNS its result.");
  if (argument->defexpr != nullptr) RaiseMalformed("arguments of a contract have no defaults", nullptr);
}

// The tree must say what the parts say: arguments or a type may hold anything.
void CheckTree(Node* node, const Deployment& d) {
  constexpr char what[] = "the parts of the contract do not make one function";
  if (!IsA(node, CreateFunctionStmt)) RaiseMalformed(what, nullptr);
  auto* const create = reinterpret_cast<CreateFunctionStmt*>(node);
  bool const named = list_length(create->funcname) == 2 && strcmp(strVal(linitial(create->funcname)), kContractSchema) == 0 &&
                     strcmp(strVal(lsecond(create->funcname)), d.name) == 0;
  if (!named || create->is_procedure || create->replace || create->sql_body != nullptr || create->returnType == nullptr ||
      list_length(create->options) != kOptionCount)
    RaiseMalformed(what, nullptr);
  if (create->returnType->setof) RaiseMalformed("a contract returns one value, not a set", nullptr);
  ListCell* cell;
  foreach (cell, create->parameters) CheckArgument(lfirst_node(FunctionParameter, cell));
  foreach (cell, create->options) {
    auto* const option = lfirst_node(DefElem, cell);
    bool good = false;
    if (strcmp(option->defname, "set") == 0) {
      auto* const set = castNode(VariableSetStmt, option->arg);
      good = set->kind == VAR_SET_VALUE && strcmp(set->name, "search_path") == 0;
    }
    if (strcmp(option->defname, "language") == 0) good = strcmp(defGetString(option), d.language) == 0;
    if (strcmp(option->defname, "as") == 0) {
      auto* const body = castNode(List, option->arg);
      good = list_length(body) == 1 && strcmp(strVal(linitial(body)), d.body) == 0;
    }
    if (!good) RaiseMalformed(what, nullptr);
  }
}

bool IsTriggers(const Deployment& d) { return pg_strcasecmp(d.returns, "trigger") == 0; }

void CheckParts(const Deployment& d) {
  if (d.name[0] == '\0' || strlen(d.name) >= NAMEDATALEN)
    ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("invalid name of a contract: \"%s\"", d.name)));
  if (d.drop) return;
  if (strcmp(d.language, "plpgsql") != 0 && strcmp(d.language, "sql") != 0)
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("contracts cannot be written in language \"%s\"", d.language),
                    errhint("Write it in PL/pgSQL or SQL.")));
  if (IsTriggers(d) && d.arguments[0] != '\0')
    RaiseMalformed("a trigger's contract has no declared arguments", "It finds those of the trigger in TG_ARGV.");
}

// Every type of its interface must be the group's.
void CheckTypes(Oid function) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  for (int i = -1; i < form->pronargs; i++) {
    Oid const type = i < 0 ? form->prorettype : form->proargtypes.values[i];
    ObjectAddress address;
    ObjectAddressSet(address, TypeRelationId, get_element_type(type) != InvalidOid ? get_element_type(type) : type);
    if (address.objectId >= FirstNormalObjectId && !IsSharedObject(address))
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("a contract cannot use type %s", format_type_be(type)),
                      errdetail("It is this member's own: other members may not have it."),
                      errhint("Use built-in and shared types only.")));
    if (get_typtype(type) == TYPTYPE_PSEUDO && type != VOIDOID && !(type == TRIGGEROID && i < 0))
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("a contract cannot use type %s", format_type_be(type))));
  }
  ReleaseSysCache(tuple);
}

void RunCreate(Node* node, const char* text) {
  auto* const planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->utilityStmt = node;
  PushActiveSnapshot(GetTransactionSnapshot());
  ProcessUtility(planned, text, false, PROCESS_UTILITY_SUBCOMMAND, nullptr, nullptr, None_Receiver, nullptr);
  PopActiveSnapshot();
  CommandCounterIncrement();
}

}  // namespace

void GiveTo(Oid routine, Oid role) {
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
  Relation const catalog = table_open(ProcedureRelationId, RowExclusiveLock);
  AlterObjectOwner_internal(catalog, routine, role);
  table_close(catalog, NoLock);
  SetUserIdAndSecContext(user, context);
  CommandCounterIncrement();
}

namespace {

// By dadbs_owner, restricted: the validator looks at the body, it runs nothing.
void Create(const Deployment& d, Oid author) {
  char* const text = FunctionText(d);
  Node* const node = ddl::ParseOne(text);
  CheckTree(node, d);
  Oid const owner = get_role_oid(ddl::kOwnerRole, false);
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  RunCreate(node, text);
  SetUserIdAndSecContext(user, context);
  Oid const function = FindContract(d.name);
  if (!OidIsValid(function)) elog(ERROR, "the function of contract \"%s\" was not made", d.name);
  CheckTypes(function);
  if (author != owner) GiveTo(function, author);
  if (IsTriggers(d))
    DropProcedure(d.name);
  else
    KeepProcedure(d.name, function, author);
}

void DropFunction(Oid function) {
  ObjectAddress address;
  ObjectAddressSet(address, ProcedureRelationId, function);
  performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
  CommandCounterIncrement();
}

void CheckMayDeploy(Oid author, const char* name, Oid existing) {
  if (OidIsValid(existing)) {
    if (pg_proc_ownercheck(existing, author)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of contract \"%s\"", name)));
  }
  if (pg_namespace_aclcheck(get_namespace_oid(kContractsSchema, false), author, ACL_CREATE) == ACLCHECK_OK) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to deploy contracts"), errhint("%s", kDeployHint)));
}

void CheckNotAttached(const char* name) {
  List* const tables = TablesOf(name);
  if (tables == NIL) return;
  ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                  errmsg("cannot drop contract \"%s\": triggers of table \"%s\" run it", name, get_rel_name(linitial_oid(tables))),
                  errhint("Drop these triggers first.")));
}

// A trigger would be left with what it cannot run.
void CheckKindStays(const Deployment& d) {
  if (IsTriggers(d) || TablesOf(d.name) == NIL) return;
  ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                  errmsg("contract \"%s\" is run by triggers and must return trigger", d.name),
                  errhint("Drop these triggers first.")));
}

Oid AuthorOf(const Deployment& d) {
  ddl::Statement statement = {};
  statement.role = d.role;
  return ddl::ExecutingRole(statement);
}

core::KeyHash ContractKey(std::string_view name) { return NameKey('o', kContractSchema, name); }

}  // namespace

int Execute(const Deployment& d, const AtPosition* at) {
  CheckParts(d);
  ddl::Statement environment = {};
  environment.search_path = d.search_path;
  int const level = ddl::EnterEnvironment(environment);
  Oid const author = AuthorOf(d);
  Oid const existing = FindContract(d.name);
  LastVersion const last = FindLastVersion(d.name);
  if (d.drop && !OidIsValid(existing))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" does not exist", d.name)));
  CheckMayDeploy(author, d.name, existing);
  GuardContract(d.name);
  if (d.drop)
    CheckNotAttached(d.name);
  else
    CheckKindStays(d);
  if (OidIsValid(existing)) DropFunction(existing);
  if (d.drop)
    DropProcedure(d.name);
  else
    Create(d, author);
  Record(d, last.version + 1, at);
  ddl::LeaveEnvironment(level);
  return last.version + 1;
}

core::ContractChange ContractChangeOf(const Deployment& d) {
  core::ContractChange change;
  change.op = d.drop ? 'X' : 'D';
  change.name = d.name;
  change.role = d.role;
  if (d.drop) return change;
  change.language = d.language;
  change.arguments = d.arguments;
  change.returns = d.returns;
  change.body = d.body;
  change.options = d.options;
  change.search_path = d.search_path;
  return change;
}

Oid FindContract(const char* name) {
  Oid const schema = get_namespace_oid(kContractSchema, true);
  if (!OidIsValid(schema)) return InvalidOid;
  CatCList* const found = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
  Oid function = InvalidOid;
  for (int i = 0; i < found->n_members; i++) {
    auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&found->members[i]->tuple));
    if (form->pronamespace == schema) function = form->oid;
  }
  ReleaseSysCacheList(found);
  return function;
}

List* TablesOf(const char* name) {
  List* tables = NIL;
  Oid const marker = ContractMarker();
  if (!OidIsValid(marker)) return NIL;
  // The name of the contract is the marker's first argument.
  EachTriggerOf(marker, [&](HeapTuple trigger, TupleDesc shape) {
    auto* const form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(trigger));
    bool is_null;
    Datum const arguments = heap_getattr(trigger, Anum_pg_trigger_tgargs, shape, &is_null);
    if (form->tgnargs > 0 && !is_null && strcmp(VARDATA_ANY(DatumGetByteaPP(arguments)), name) == 0)
      tables = list_append_unique_oid(tables, form->tgrelid);
  });
  return tables;
}

}  // namespace contract

namespace {

char* CopyText(std::string_view s) { return pnstrdup(s.data(), s.size()); }

// Postgres code: in Call().
contract::Deployment ToDeployment(const core::ContractChange& c) {
  return {c.op == 'X',          CopyText(c.name), CopyText(c.language), CopyText(c.arguments), CopyText(c.returns),
          CopyText(c.body),     CopyText(c.options), CopyText(c.role),   CopyText(c.search_path)};
}

void TableKeys(const core::ContractChange& change, core::KeyList* keys) {
  List* const tables = Call([&] { return contract::TablesOf(CopyText(change.name)); });
  for (int i = 0; i < list_length(tables); i++) {
    Oid const table = list_nth_oid(tables, i);
    const char* const schema = Call([&] { return get_namespace_name(get_rel_namespace(table)); });
    const char* const name = Call([&] { return get_rel_name(table); });
    if (schema == nullptr || name == nullptr) continue;
    keys->push_back({RelationDefinitionKey(schema, name), static_cast<uint8_t>(core::KeyUse::kExistence)});
  }
}

}  // namespace

void ExecuteContractChange(const core::ContractChange& change, const AtPosition& at, core::KeyList* keys) {
  ContractKeys(change, keys);
  TableKeys(change, keys);
  Call([&] { (void)contract::Execute(ToDeployment(change), &at); });
}

void ContractKeys(const core::ContractChange& change, core::KeyList* keys) {
  keys->push_back({contract::ContractKey(change.name), static_cast<uint8_t>(core::KeyUse::kExistence)});
}

}  // namespace dadbs::pg
