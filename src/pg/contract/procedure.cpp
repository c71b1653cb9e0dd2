/*
 * procedure.cpp: the procedure contracts.NAME of a contract that is called.
 *
 * It is what users see of a callable contract: \df and completion show it, CALL calls it, EXECUTE on it is granted as on any
 * procedure, and its privileges say at the position who may call, by whatever way. Its body is our C function, which hands the call
 * over (call_session.cpp). It is made with the contract, of its declared arguments, and where it returns something INOUT result
 * DEFAULT NULL; a version with the same interface keeps it, and with it what was granted.
 *
 * The schema "contracts" holds nothing else: whatever a shared statement makes, changes or drops there but privileges is refused
 * (ddl/effects.cpp), so that nobody puts a procedure of his own in the place of a contract.
 */
#include "internal.h"

#include "../ddl/internal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::contract {
namespace {

constexpr char kLibrary[] = "$libdir/dadbs";
constexpr char kFunction[] = "dadbs_contract_procedure";

HeapTuple Routine(Oid oid) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "function %u of a contract is gone", oid);
  return tuple;
}

// Names of the contract's arguments; "" for one without.
const char** ArgumentNames(HeapTuple tuple, int count) {
  auto** const names = static_cast<const char**>(palloc0(sizeof(char*) * (count + 1)));
  bool is_null;
  Datum const array = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargnames, &is_null);
  char** declared = nullptr;
  int const named = is_null ? 0 : get_func_input_arg_names(array, Datum(0), &declared);
  for (int i = 0; i < count; i++) names[i] = i < named && declared[i] != nullptr ? declared[i] : "";
  return names;
}

// "result", unless an argument is called so.
const char* ResultName(const char** names, int count) {
  const char* name = "result";
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) name = "contract_result";
  return name;
}

struct Interface {
  int count;  // with the result
  bool has_result;
  Oid types[FUNC_MAX_ARGS];
  const char* names[FUNC_MAX_ARGS];
};

Interface InterfaceOf(Oid function) {
  Interface out = {};
  HeapTuple const tuple = Routine(function);
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  out.has_result = form->prorettype != VOIDOID;
  int const declared = form->pronargs;
  if (declared > static_cast<int>(core::kCallArgumentsMax))
    ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS), errmsg("a contract cannot have more than %d arguments", static_cast<int>(core::kCallArgumentsMax))));
  const char** const names = ArgumentNames(tuple, declared);
  for (int i = 0; i < declared; i++) {
    out.types[i] = form->proargtypes.values[i];
    out.names[i] = names[i];
  }
  out.count = declared;
  if (out.has_result) {
    out.types[declared] = form->prorettype;
    out.names[declared] = ResultName(names, declared);
    out.count++;
  }
  ReleaseSysCache(tuple);
  return out;
}

bool IsOf(Oid procedure, const Interface& interface) {
  HeapTuple const tuple = Routine(procedure);
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  bool const has_result = form->prorettype == RECORDOID;
  bool same = form->pronargs == interface.count && has_result == interface.has_result;
  const char** const names = same ? ArgumentNames(tuple, interface.count) : nullptr;
  for (int i = 0; same && i < interface.count; i++)
    same = form->proargtypes.values[i] == interface.types[i] && strcmp(names[i], interface.names[i]) == 0;
  ReleaseSysCache(tuple);
  return same;
}

// Null: none has a name, as in CREATE PROCEDURE.
Datum Names(const Interface& interface) {
  Datum names[FUNC_MAX_ARGS];
  bool any = false;
  for (int i = 0; i < interface.count; i++) any |= interface.names[i][0] != '\0';
  if (!any) return PointerGetDatum(nullptr);
  for (int i = 0; i < interface.count; i++) names[i] = CStringGetTextDatum(interface.names[i]);
  return PointerGetDatum(construct_array(names, interface.count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum Modes(const Interface& interface) {
  Datum modes[FUNC_MAX_ARGS];
  for (int i = 0; i < interface.count; i++) modes[i] = CharGetDatum(i + 1 < interface.count ? PROARGMODE_IN : PROARGMODE_INOUT);
  return PointerGetDatum(construct_array(modes, interface.count, CHAROID, 1, true, TYPALIGN_CHAR));
}

Datum Types(const Interface& interface) {
  Datum types[FUNC_MAX_ARGS];
  for (int i = 0; i < interface.count; i++) types[i] = ObjectIdGetDatum(interface.types[i]);
  return PointerGetDatum(construct_array(types, interface.count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

// Not to PUBLIC, and whatever this member's default privileges say.
void GrantToOwnerOnly(Oid procedure, Oid owner) {
  AclItem item = {};
  item.ai_grantee = item.ai_grantor = owner;
  ACLITEM_SET_PRIVS_GOPTIONS(item, ACL_EXECUTE, ACL_NO_RIGHTS);
  Datum item_datum = PointerGetDatum(&item);
  ArrayType* const acl = construct_array(&item_datum, 1, ACLITEMOID, sizeof(AclItem), false, TYPALIGN_INT);
  Relation const catalog = table_open(ProcedureRelationId, RowExclusiveLock);
  HeapTuple const tuple = SearchSysCacheCopy1(PROCOID, ObjectIdGetDatum(procedure));
  Datum values[Natts_pg_proc] = {};
  bool nulls[Natts_pg_proc] = {}, replaces[Natts_pg_proc] = {};
  values[Anum_pg_proc_proacl - 1] = PointerGetDatum(acl);
  replaces[Anum_pg_proc_proacl - 1] = true;
  HeapTuple const changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replaces);
  CatalogTupleUpdate(catalog, &changed->t_self, changed);
  table_close(catalog, RowExclusiveLock);
  CommandCounterIncrement();
}

Oid Make(const char* name, const Interface& interface, Oid owner) {
  List* defaults = NIL;
  if (interface.has_result) {
    Oid const type = interface.types[interface.count - 1];
    defaults = list_make1(makeNullConst(type, -1, get_typcollation(type)));
  }
  ObjectAddress const made = ProcedureCreate(
      name, get_namespace_oid(kContractsSchema, false), false, false, interface.has_result ? RECORDOID : VOIDOID, owner, ClanguageId,
      InvalidOid, kFunction, kLibrary, nullptr, PROKIND_PROCEDURE, false, false, false, PROVOLATILE_VOLATILE, PROPARALLEL_UNSAFE,
      buildoidvector(interface.types, interface.count), interface.has_result ? Types(interface) : PointerGetDatum(nullptr),
      interface.has_result ? Modes(interface) : PointerGetDatum(nullptr), Names(interface), defaults, PointerGetDatum(nullptr),
      PointerGetDatum(nullptr), InvalidOid, 1, 0);
  CommandCounterIncrement();
  GrantToOwnerOnly(made.objectId, owner);
  return made.objectId;
}

[[noreturn]] void RaiseMayNot(const char* name) {
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for contract \"%s\"", name),
                  errhint("GRANT EXECUTE ON PROCEDURE %s.%s TO the role.", kContractsSchema, quote_identifier(name))));
  pg_unreachable();
}

}  // namespace

Oid FindProcedure(const char* name) {
  Oid const schema = get_namespace_oid(kContractsSchema, true);
  if (!OidIsValid(schema)) return InvalidOid;
  CatCList* const found = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
  Oid procedure = InvalidOid;
  for (int i = 0; i < found->n_members; i++) {
    auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&found->members[i]->tuple));
    if (form->pronamespace == schema && form->prolang == ClanguageId && form->prokind == PROKIND_PROCEDURE) procedure = form->oid;
  }
  ReleaseSysCacheList(found);
  return procedure;
}

void DropProcedure(const char* name) {
  Oid const procedure = FindProcedure(name);
  if (!OidIsValid(procedure)) return;
  ObjectAddress address;
  ObjectAddressSet(address, ProcedureRelationId, procedure);
  performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
  CommandCounterIncrement();
}

void KeepProcedure(const char* name, Oid function, Oid owner) {
  Interface const interface = InterfaceOf(function);
  Oid const existing = FindProcedure(name);
  if (OidIsValid(existing) && IsOf(existing, interface)) return GiveTo(existing, owner);
  DropProcedure(name);
  (void)Make(name, interface, owner);
}

char* TravellingType(Oid type) {
  bits16 const qualify = type < FirstNormalObjectId ? 0 : FORMAT_TYPE_FORCE_QUALIFY;
  return format_type_extended(type, -1, qualify);
}

Signature FindCallable(const char* name) {
  Signature out = {};
  out.function = FindContract(name);
  if (!OidIsValid(out.function))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" does not exist", name)));
  HeapTuple const tuple = Routine(out.function);
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  out.count = form->pronargs;
  out.result = form->prorettype;
  for (int i = 0; i < out.count; i++) out.types[i] = form->proargtypes.values[i];
  ReleaseSysCache(tuple);
  if (out.result == TRIGGEROID)
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("contract \"%s\" is run by triggers, and cannot be called", name)));
  StringInfoData arguments;
  initStringInfo(&arguments);
  for (int i = 0; i < out.count; i++) appendStringInfo(&arguments, "%s%s", i > 0 ? ", " : "", TravellingType(out.types[i]));
  out.arguments = arguments.data;
  return out;
}

void CheckMayExecute(Oid procedure, Oid role, const char* name) {
  if (pg_proc_aclcheck(procedure, role, ACL_EXECUTE) != ACLCHECK_OK) RaiseMayNot(name);
}

// Of the group alone: a grant to a role of this member, or to a predefined one, is this member's own.
void CheckGroupMayExecute(Oid procedure, Oid role, const char* name) {
  HeapTuple const tuple = Routine(procedure);
  bool is_null;
  Datum const array = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proacl, &is_null);
  Oid const owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
  Acl* const acl = is_null ? acldefault(OBJECT_FUNCTION, owner) : DatumGetAclPCopy(array);
  ReleaseSysCache(tuple);
  bool may = false;
  for (int i = 0; !may && i < ACL_NUM(acl); i++) {
    const AclItem& item = ACL_DAT(acl)[i];
    if ((ACLITEM_GET_PRIVS(item) & ACL_EXECUTE) == 0) continue;
    const char* const grantee = item.ai_grantee == ACL_ID_PUBLIC ? nullptr : GetUserNameFromId(item.ai_grantee, true);
    may = item.ai_grantee == ACL_ID_PUBLIC || (grantee != nullptr && ddl::IsGroupRole(grantee) && has_privs_of_role(role, item.ai_grantee));
  }
  if (!may) RaiseMayNot(name);
}

}  // namespace dadbs::pg::contract
