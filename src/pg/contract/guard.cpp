/*
 * guard.cpp: which definitions need the approval of other members: those by which one member could switch off a contract.
 *
 * Guarded are, as of before the transaction that defines:
 *   tables     with a trigger that runs a contract, and protected ones: any change of their definition, privileges included;
 *              new indexes, triggers, policies and foreign keys that refer to them too
 *   contracts  that such triggers run, or that a protection lists: new versions and the end
 *   names      what the text of such a contract names (tables, views, functions, types), and in turn what the text of these
 *              functions and views names: PL/pgSQL looks names up when it runs, so a new function of that name, with types
 *              that fit better or in a schema that is looked at first, would take the place of the one that is meant
 *   operators  all, since expressions use them without a name (BETWEEN, IN, CASE)
 *   schemas    that hold such tables, stand in the contracts' search_path or are named: another in its place has other functions
 *   roles      what the owner of such a contract is a member of, as row security asks for it
 *   writers    contracts that a protection lists: triggers that run them, since these say what they write
 * and whatever these stand on by pg_depend: functions and types in CHECKs, domains, policies, conditions of triggers, views;
 * what the text of such functions names counts like what a contract names.
 *
 * A name is looked for as a word of the text, comments and strings included: too often rather than never. What a transaction
 * attaches itself guards nothing until it is committed, so that it can be set up in one transaction; it is known by the xmin of
 * its pg_trigger row.
 *
 * Judged from the statement's text, which drops and grants and renames name, and from what object_access_hook tells of:
 * cascades are seen. State: what is guarded, while one definition is executed, in its memory.
 */
#include "internal.h"
#include "triggers_of.h"

#include "../ddl/internal.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/sharing.h"
#include "proposal.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

struct Guards {
  List* tables;     // OIDs
  List* contracts;  // names
  List* writers;    // those of them that may write a protected table
  HTAB* words;      // of the texts of these contracts, and of what they name
  bool all_words;   // one of them may name anything
  List* paths;      // their search_paths
  ObjectAddresses* reached;  // whose texts are among them
  bool any;
};

Guards* guards = nullptr;  // null: nothing is being defined, or nothing is guarded

bool Wanted() {
  if (shared == nullptr || shared->approvals <= 1 || CarryingOut()) return false;
  return MyBackendType != B_BACKEND || !guc_deploy_unchecked;
}

[[noreturn]] void Raise(const char* what, const char* why) {
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("%s needs the approval of %u members", what, shared->approvals),
                  errdetail("%s", why), errhint("Propose it: SELECT dadbs.propose('statement', 'comment').")));
  pg_unreachable();
}

// ---- names in texts

bool IsWordCharacter(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || IS_HIGHBIT_SET(c); }

char Folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool StartsHere(const char* text, const char* name) {
  for (; *name != '\0'; text++, name++)
    if (Folded(*text) != Folded(*name)) return false;
  return true;
}

// Inside double quotes they stand twice.
const char* Quoted(const char* name) { return strchr(name, '"') == nullptr ? name : pnstrdup(quote_identifier(name) + 1, strlen(quote_identifier(name)) - 2); }

}  // namespace

bool NamesIt(const char* text, const char* name) {
  if (name == nullptr || name[0] == '\0') return false;
  const char* const needle = Quoted(name);
  size_t const length = strlen(needle);
  bool const cut = strlen(name) >= NAMEDATALEN - MAX_MULTIBYTE_CHAR_LEN;  // a longer word means it too, cut between characters
  for (const char* at = text; *at != '\0'; at++) {
    if (Folded(*at) == 'u' && at[1] == '&' && (at[2] == '"' || at[2] == '\'')) return true;  // escapes: anything
    if (!StartsHere(at, needle)) continue;
    bool const begins = at == text || !IsWordCharacter(at[-1]) || !IsWordCharacter(needle[0]);
    bool const ends = cut || !IsWordCharacter(at[length]) || !IsWordCharacter(needle[length - 1]);
    if (begins && ends) return true;
  }
  return false;
}

namespace {

// Words as they are kept: small letters, of long ones as much as no name is cut to.
constexpr int kWordBytes = NAMEDATALEN - MAX_MULTIBYTE_CHAR_LEN;

bool FindWord(const char* word, size_t length, HASHACTION action) {
  char key[kWordBytes] = {};
  size_t const kept = Min(length, sizeof(key) - 1);
  for (size_t i = 0; i < kept; i++) key[i] = Folded(word[i]);
  bool found;
  (void)hash_search(guards->words, key, action, &found);
  return found;
}

// take(word, length) of each word; false: it has had enough.
template <class F>
void EachWord(const char* text, F&& take) {
  for (const char* at = text; *at != '\0';) {
    const char* const begin = at;
    while (IsWordCharacter(*at)) at++;
    if (at > begin && !take(begin, static_cast<size_t>(at - begin))) return;
    if (at == begin) at++;
  }
}

void AddText(const char* text) {
  EachWord(text, [](const char* word, size_t length) {
    (void)FindWord(word, length, HASH_ENTER);
    bool const quoted = word[length] == '&' && (word[length + 1] == '"' || word[length + 1] == '\'');
    if (quoted && Folded(word[length - 1]) == 'u') guards->all_words = true;  // U&"...": escapes
    return true;
  });
}

// A name of several words, in quotes, is named where all of them are, wherever that is: one look at each text is enough for all names.
bool IsNamed(const char* name) {
  bool named = true;
  if (!guards->all_words)
    EachWord(name, [&](const char* word, size_t length) { return named = FindWord(word, length, HASH_FIND); });
  return named;
}

bool IsInPath(const char* schema) {
  ListCell* cell;
  foreach (cell, guards->paths)
    if (NamesIt(static_cast<char*>(lfirst(cell)), schema)) return true;
  return false;
}

// ---- collecting

List* AddName(List* names, const char* name) {
  ListCell* cell;
  foreach (cell, names)
    if (strcmp(static_cast<char*>(lfirst(cell)), name) == 0) return names;
  return lappend(names, pstrdup(name));
}

// The names of contracts among the arguments: the first of a contract's trigger, all of a protection.
void AddTrigger(HeapTuple tuple, TupleDesc columns, Oid contract_marker) {
  auto* const form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
  if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data))) return;
  guards->any = true;
  guards->tables = list_append_unique_oid(guards->tables, form->tgrelid);
  bool is_null;
  Datum const arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, columns, &is_null);
  if (is_null) return;
  const char* at = VARDATA_ANY(DatumGetByteaPP(arguments));
  int const count = form->tgfoid == contract_marker ? Min(form->tgnargs, 1) : form->tgnargs;
  for (int i = 0; i < count; i++, at += strlen(at) + 1) {
    guards->contracts = AddName(guards->contracts, at);
    if (form->tgfoid != contract_marker) guards->writers = AddName(guards->writers, at);
  }
}

void AddTriggersOf(Oid marker, Oid contract_marker) {
  if (!OidIsValid(marker)) return;
  EachTriggerOf(marker, [=](HeapTuple trigger, TupleDesc shape) { AddTrigger(trigger, shape, contract_marker); });
}

void AddTextsOfContracts() {
  ListCell* cell;
  foreach (cell, guards->contracts) {
    Oid const function = FindContract(static_cast<char*>(lfirst(cell)));
    HeapTuple const tuple = OidIsValid(function) ? SearchSysCache1(PROCOID, ObjectIdGetDatum(function)) : nullptr;
    if (!HeapTupleIsValid(tuple)) continue;
    bool is_null;
    Datum const source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
    if (!is_null) AddText(TextDatumGetCString(source));
    Datum const settings = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &is_null);
    if (!is_null) guards->paths = lappend(guards->paths, OidOutputFunctionCall(F_ARRAY_OUT, settings));
    ReleaseSysCache(tuple);
  }
}

// What it refers to, or what refers to it. Of the latter perhaps its parts only: what goes with it.
List* Linked(const ObjectAddress& object, bool users, bool only_parts) {
  List* found = NIL;
  Relation const depend = table_open(DependRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], users ? Anum_pg_depend_refclassid : Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object.classId));
  ScanKeyInit(&keys[1], users ? Anum_pg_depend_refobjid : Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object.objectId));
  SysScanDesc const scan = systable_beginscan(depend, users ? DependReferenceIndexId : DependDependerIndexId, true, nullptr, 2, keys);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto* const form = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    if (only_parts && form->deptype != DEPENDENCY_AUTO && form->deptype != DEPENDENCY_INTERNAL) continue;
    auto* const other = static_cast<ObjectAddress*>(palloc(sizeof(ObjectAddress)));
    if (users)
      ObjectAddressSet(*other, form->classid, form->objid);
    else
      ObjectAddressSet(*other, form->refclassid, form->refobjid);
    found = lappend(found, other);
  }
  systable_endscan(scan);
  table_close(depend, AccessShareLock);
  return found;
}

bool IsTable(const ObjectAddress& object) {
  char const kind = object.classId == RelationRelationId ? get_rel_relkind(object.objectId) : '\0';
  return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
}

void AddTextOf(const ObjectAddress& object) {
  char* source = nullptr;
  if (object.classId == RelationRelationId && get_rel_relkind(object.objectId) == RELKIND_VIEW)
    source = TextDatumGetCString(DirectFunctionCall1(pg_get_viewdef, ObjectIdGetDatum(object.objectId)));
  if (object.classId == ProcedureRelationId && IsSharedSchema(get_func_namespace(object.objectId)))
    ddl::TakeColumn(ProcedureRelationId, ProcedureOidIndexId, Anum_pg_proc_oid, object.objectId, Anum_pg_proc_prosrc,
                    [&](Datum value) { source = TextDatumGetCString(value); });
  if (source != nullptr) AddText(source);
}

// The texts of an object, of its parts, and of what these refer to, other tables left out.
void AddTextsFrom(const ObjectAddress& first) {
  auto* const start = static_cast<ObjectAddress*>(palloc(sizeof(ObjectAddress)));
  *start = first;
  List* open = list_make1(start);
  while (open != NIL) {
    ObjectAddress const object = *static_cast<ObjectAddress*>(llast(open));
    open = list_delete_last(open);
    if (object.objectId < FirstNormalObjectId || object_address_present(&object, guards->reached)) continue;
    add_exact_object_address(&object, guards->reached);
    AddTextOf(object);
    open = list_concat(open, Linked(object, true, true));
    ListCell* cell;
    foreach (cell, Linked(object, false, false)) {
      auto* const referred = static_cast<ObjectAddress*>(lfirst(cell));
      if (!IsTable(*referred)) open = lappend(open, referred);
    }
  }
}

struct Candidate {
  const char* name;
  ObjectAddress object;
};

// Of a catalog whose first column is the OID.
List* AddCandidates(List* found, Oid catalog_id, AttrNumber name_column, AttrNumber schema_column) {
  Relation const catalog = table_open(catalog_id, AccessShareLock);
  TupleDesc const columns = RelationGetDescr(catalog);
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    bool is_null;
    Oid const oid = DatumGetObjectId(heap_getattr(tuple, 1, columns, &is_null));
    if (oid < FirstNormalObjectId || !IsSharedSchema(DatumGetObjectId(heap_getattr(tuple, schema_column, columns, &is_null)))) continue;
    auto* const candidate = static_cast<Candidate*>(palloc(sizeof(Candidate)));
    candidate->name = pstrdup(NameStr(*DatumGetName(heap_getattr(tuple, name_column, columns, &is_null))));
    ObjectAddressSet(candidate->object, catalog_id, oid);
    found = lappend(found, candidate);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return found;
}

// What the texts name has texts of its own.
void AddTextsOfNamed() {
  List* candidates = AddCandidates(NIL, ProcedureRelationId, Anum_pg_proc_proname, Anum_pg_proc_pronamespace);
  candidates = AddCandidates(candidates, RelationRelationId, Anum_pg_class_relname, Anum_pg_class_relnamespace);
  candidates = AddCandidates(candidates, TypeRelationId, Anum_pg_type_typname, Anum_pg_type_typnamespace);
  for (bool more = true; more;) {
    more = false;
    ListCell* cell;
    foreach (cell, candidates) {
      auto* const candidate = static_cast<Candidate*>(lfirst(cell));
      if (!IsNamed(candidate->name)) continue;
      AddTextsFrom(candidate->object);
      candidates = foreach_delete_current(candidates, cell);
      more = true;
    }
  }
}

// What runs without being named: CHECKs, domains, policies, conditions of triggers, operators.
void AddTextsOfExpressions() {
  ListCell* cell;
  foreach (cell, guards->tables) {
    ObjectAddress table;
    ObjectAddressSet(table, RelationRelationId, lfirst_oid(cell));
    AddTextsFrom(table);
  }
  foreach (cell, AddCandidates(NIL, OperatorRelationId, Anum_pg_operator_oprname, Anum_pg_operator_oprnamespace))
    AddTextsFrom(static_cast<Candidate*>(lfirst(cell))->object);
}

void Collect() {
  guards = static_cast<Guards*>(palloc0(sizeof(Guards)));
  guards->reached = new_object_addresses();
  HASHCTL layout = {};
  layout.keysize = layout.entrysize = kWordBytes;
  layout.hcxt = CurrentMemoryContext;
  guards->words = hash_create("dadbs guarded words", 1024, &layout, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
  Oid const marker = ContractMarker();
  AddTriggersOf(marker, marker);
  AddTriggersOf(ProtectionMarker(), marker);
  if (!guards->any) {
    guards = nullptr;
    return;
  }
  AddTextsOfContracts();
  AddTextsOfExpressions();
  AddTextsOfNamed();
}

// ---- objects

Oid RelationOf(Oid catalog, Oid index, AttrNumber oid_column, Oid object, AttrNumber column) {
  Oid result = InvalidOid;
  ddl::TakeColumn(catalog, index, oid_column, object, column, [&](Datum value) { result = DatumGetObjectId(value); });
  return result;
}

// The table that it is a part of; invalid: of none.
Oid TableOf(const ObjectAddress& object) {
  Oid relation = InvalidOid;
  switch (object.classId) {
    case RelationRelationId: relation = object.objectId; break;
    case ConstraintRelationId:
      relation = RelationOf(ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, object.objectId, Anum_pg_constraint_conrelid);
      break;
    case AttrDefaultRelationId:
      // Told by its table and column while it is being made.
      if (object.objectSubId != 0) return object.objectId;
      relation = RelationOf(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, object.objectId, Anum_pg_attrdef_adrelid);
      break;
    case TriggerRelationId:
      relation = RelationOf(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object.objectId, Anum_pg_trigger_tgrelid);
      break;
    case PolicyRelationId:
      relation = RelationOf(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, object.objectId, Anum_pg_policy_polrelid);
      break;
    case RewriteRelationId:
      relation = RelationOf(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, object.objectId, Anum_pg_rewrite_ev_class);
      break;
    default: return InvalidOid;
  }
  char const kind = OidIsValid(relation) ? get_rel_relkind(relation) : '\0';
  return kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX ? IndexGetRelation(relation, true) : relation;
}

// A foreign key that goes takes its triggers from the table that it refers to; it is told of itself, as a constraint.
bool IsForeignKeyTrigger(const ObjectAddress& object) {
  if (object.classId != TriggerRelationId) return false;
  Oid const function = RelationOf(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object.objectId, Anum_pg_trigger_tgfoid);
  return OidIsValid(function) && RI_FKey_trigger_type(function) != RI_TRIGGER_NONE;
}

void CheckTable(Oid table) {
  const char* const name = get_rel_name(table);
  if (name == nullptr) return;
  const char* const what = psprintf("the definition of \"%s\"", name);
  if (list_member_oid(guards->tables, table)) Raise(what, "It is a table with contracts, or protected.");
  if (IsNamed(name)) Raise(what, "A contract that triggers run, or what it uses, names it.");
}

bool HoldsGuardedTable(Oid schema) {
  ListCell* cell;
  foreach (cell, guards->tables)
    if (get_rel_namespace(lfirst_oid(cell)) == schema) return true;
  return false;
}

bool IsGuardedSchema(Oid schema) {
  const char* const name = get_namespace_name(schema);
  return name != nullptr && (strcmp(name, kContractsSchema) == 0 || HoldsGuardedTable(schema) || IsInPath(name) || IsNamed(name));
}

void CheckSchema(Oid schema) {
  if (IsGuardedSchema(schema))
    Raise(psprintf("the definition of schema \"%s\"", get_namespace_name(schema)), "It holds tables with contracts, or contracts look there.");
}

// By a trigger of his own, on a table of his own, one member would write a protected table by its contract.
void CheckRunsNoWriter(Oid trigger) {
  if (RelationOf(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, trigger, Anum_pg_trigger_tgfoid) != ContractMarker()) return;
  ddl::TakeColumn(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, trigger, Anum_pg_trigger_tgargs, [](Datum arguments) {
    const char* const contract = VARDATA_ANY(DatumGetByteaPP(arguments));
    ListCell* cell;
    foreach (cell, guards->writers)
      if (strcmp(static_cast<char*>(lfirst(cell)), contract) == 0)
        Raise(psprintf("a trigger that runs contract \"%s\"", contract), "The contract may write a protected table.");
  });
}

// Functions and types that are named, or are contracts.
void CheckItself(const ObjectAddress& object) {
  const char* name = nullptr;
  if (object.classId == ProcedureRelationId) {
    name = get_func_name(object.objectId);
    Oid const schema = get_func_namespace(object.objectId);
    ListCell* cell;
    if (name != nullptr && schema == get_namespace_oid(kContractSchema, true))
      foreach (cell, guards->contracts)
        if (strcmp(static_cast<char*>(lfirst(cell)), name) == 0) Raise(psprintf("what contract \"%s\" uses", name), "Triggers run it.");
  }
  if (object.classId == TypeRelationId) {
    HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(object.objectId));
    if (!HeapTupleIsValid(tuple)) return;
    name = pstrdup(NameStr(reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typname));
    ReleaseSysCache(tuple);
  }
  if (object.classId == OperatorRelationId) Raise("the definition of an operator", "Contracts use operators, and triggers run some of them.");
  if (name != nullptr && IsNamed(name)) Raise(psprintf("the definition of \"%s\"", name), "A contract that triggers run, or what it uses, names it.");
}

void Check(const ObjectAddress& object, ObjectAddresses* seen);

void CheckUsers(const ObjectAddress& object, ObjectAddresses* seen) {
  bool const relation = object.classId == RelationRelationId;
  ListCell* cell;
  foreach (cell, Linked(object, true, false)) {
    auto* const user = static_cast<ObjectAddress*>(lfirst(cell));
    if (!relation || user->classId == RewriteRelationId) Check(*user, seen);
  }
}

// The domain of a constraint that is of no table.
ObjectAddress DomainOr(const ObjectAddress& object) {
  ObjectAddress result = object;
  if (object.classId != ConstraintRelationId) return result;
  Oid const domain =
      RelationOf(ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, object.objectId, Anum_pg_constraint_contypid);
  if (OidIsValid(domain)) ObjectAddressSet(result, TypeRelationId, domain);
  return result;
}

// What one member has for itself (temporary tables, functions) must not decide, whatever it uses and however it is called.
bool IsOfTheGroup(const ObjectAddress& object) {
  if (object.classId == ProcedureRelationId && get_func_namespace(object.objectId) == get_namespace_oid(kContractSchema, true)) return true;
  return IsSharedObject(object);
}

void Check(const ObjectAddress& given, ObjectAddresses* seen) {
  ObjectAddress object = DomainOr(given);
  if (object_address_present(&object, seen) || !IsOfTheGroup(object)) return;
  add_exact_object_address(&object, seen);
  check_stack_depth();
  Oid const table = TableOf(object);
  if (OidIsValid(table)) CheckTable(table);
  if (object.classId == NamespaceRelationId) {
    CheckSchema(object.objectId);
    return;
  }
  CheckItself(object);
  if (object.classId == TriggerRelationId) CheckRunsNoWriter(object.objectId);
  ObjectAddress whole;
  if (OidIsValid(table))
    ObjectAddressSet(whole, RelationRelationId, table);
  else
    ObjectAddressSet(whole, object.classId, object.objectId);
  // A column's type, or a composite type's relation, leads on to the type of the rows.
  if (OidIsValid(table) && get_rel_relkind(table) == RELKIND_COMPOSITE_TYPE) ObjectAddressSet(whole, TypeRelationId, get_rel_type_id(table));
  CheckUsers(whole, seen);
}

void CheckWhole(const ObjectAddress& object) {
  ObjectAddresses* const seen = new_object_addresses();
  Check(object, seen);
  free_object_addresses(seen);
}

// ---- statements

void CheckName(const RangeVar* name) {
  Oid const relation = RangeVarGetRelid(name, NoLock, true);
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, relation);
  if (OidIsValid(relation)) CheckWhole(address);
}

void CheckObject(ObjectType type, Node* object) {
  Relation relation = nullptr;
  ObjectAddress const address = get_object_address(type, object, &relation, AccessShareLock, true);
  if (relation != nullptr) relation_close(relation, NoLock);
  if (OidIsValid(address.objectId)) CheckWhole(address);
}

void CheckType(TypeName* name) {
  ObjectAddress address;
  ObjectAddressSet(address, TypeRelationId, LookupTypeNameOid(nullptr, name, true));
  if (OidIsValid(address.objectId)) CheckWhole(address);
}

// Privileges are changed without a word to object_access_hook.
void CheckGrant(const GrantStmt* grant) {
  ListCell* cell;
  foreach (cell, grant->objects) {
    Node* const object = static_cast<Node*>(lfirst(cell));
    bool const of_schema = grant->targtype == ACL_TARGET_ALL_IN_SCHEMA || (grant->objtype == OBJECT_SCHEMA && !grant->is_grant);
    if (of_schema) {
      Oid const schema = get_namespace_oid(strVal(object), true);
      if (OidIsValid(schema)) CheckSchema(schema);
    } else if (grant->objtype == OBJECT_TABLE || grant->objtype == OBJECT_SEQUENCE) {
      CheckName(castNode(RangeVar, object));
    } else if (grant->objtype == OBJECT_FUNCTION || grant->objtype == OBJECT_PROCEDURE || grant->objtype == OBJECT_ROUTINE) {
      CheckObject(grant->objtype, object);
    }
  }
}

// By its new name it would not be known.
void CheckRename(const RenameStmt* rename) {
  if (rename->relation != nullptr) return CheckName(rename->relation);
  if (rename->renameType == OBJECT_SCHEMA) {
    Oid const schema = get_namespace_oid(rename->subname, true);
    if (OidIsValid(schema)) CheckSchema(schema);
  } else if (rename->renameType == OBJECT_TYPE || rename->renameType == OBJECT_DOMAIN || rename->renameType == OBJECT_DOMCONSTRAINT) {
    CheckType(makeTypeNameFromNameList(castNode(List, rename->object)));
  } else if (rename->renameType != OBJECT_ROLE && rename->object != nullptr) {
    CheckObject(rename->renameType, rename->object);
  }
}

// Tables that exist and whose definition it names. What it makes new is judged when it is there; a partition is a part of its
// table, whose triggers it could do without.
void CheckNamed(Node* statement) {
  if (IsA(statement, CreateStmt)) {
    ListCell* parent;
    foreach (parent, reinterpret_cast<CreateStmt*>(statement)->inhRelations) CheckName(lfirst_node(RangeVar, parent));
    return;
  }
  if (IsA(statement, ViewStmt)) return;
  List* const names = ddl::NamedRelations(statement);
  ListCell* cell;
  foreach (cell, names) {
    auto* const name = static_cast<ddl::RelName*>(lfirst(cell));
    Oid const schema = get_namespace_oid(name->schema, true);
    Oid const table = OidIsValid(schema) ? get_relname_relid(name->name, schema) : InvalidOid;
    if (OidIsValid(table)) CheckTable(table);
  }
}

// Row security shows a contract what its owner's roles may see: he must not get or lose one, nor what it is worth.
void CheckOwnersRole(const RoleSpec* role) {
  char* const local = role->roletype == ROLESPEC_CSTRING ? ddl::LocalRoleName(role->rolename, true) : nullptr;
  Oid const id = local != nullptr ? get_role_oid(local, true) : InvalidOid;
  ListCell* cell;
  foreach (cell, guards->contracts) {
    const char* const name = static_cast<char*>(lfirst(cell));
    Oid const function = FindContract(name);
    Oid owner = InvalidOid;
    ddl::TakeColumn(ProcedureRelationId, ProcedureOidIndexId, Anum_pg_proc_oid, function, Anum_pg_proc_proowner,
                    [&](Datum value) { owner = DatumGetObjectId(value); });
    if (owner == get_role_oid(ddl::kOwnerRole, true)) continue;  // a member of all of them, directly
    if (OidIsValid(id) && OidIsValid(owner) && is_member_of_role_nosuper(owner, id))
      Raise(psprintf("a change of what role \"%s\" inherits", role->rolename), psprintf("Contract \"%s\" runs with its rights.", name));
  }
}

void CheckRoles(Node* statement) {
  ListCell* cell;
  if (IsA(statement, GrantRoleStmt))
    foreach (cell, reinterpret_cast<GrantRoleStmt*>(statement)->grantee_roles) CheckOwnersRole(lfirst_node(RoleSpec, cell));
  if (!IsA(statement, AlterRoleStmt)) return;
  foreach (cell, reinterpret_cast<AlterRoleStmt*>(statement)->options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, "inherit") == 0) CheckOwnersRole(reinterpret_cast<AlterRoleStmt*>(statement)->role);
}

void CheckStatement(Node* statement) {
  if (ddl::IsRoleStatement(statement)) return CheckRoles(statement);
  if (IsA(statement, CreateSchemaStmt)) {
    ListCell* cell;
    foreach (cell, reinterpret_cast<CreateSchemaStmt*>(statement)->schemaElts) CheckStatement(static_cast<Node*>(lfirst(cell)));
    return;
  }
  if (IsA(statement, GrantStmt)) return CheckGrant(reinterpret_cast<GrantStmt*>(statement));
  if (IsA(statement, RenameStmt)) CheckRename(reinterpret_cast<RenameStmt*>(statement));
  CheckNamed(statement);
}

}  // namespace
}  // namespace contract

void BeginGuard(Node* statement) {
  contract::guards = nullptr;
  if (!contract::Wanted()) return;
  contract::Collect();
  if (contract::guards != nullptr) contract::CheckStatement(statement);
}

void EndGuard() noexcept { contract::guards = nullptr; }

void GuardEarly(Node* statement) {
  BeginGuard(statement);
  EndGuard();
}

void GuardObject(const ObjectAddress& object, bool drop) {
  if (contract::guards == nullptr || (drop && contract::IsForeignKeyTrigger(object))) return;
  contract::CheckWhole(object);
}

void GuardContract(const char* name) {
  contract::guards = nullptr;
  if (!contract::Wanted()) return;
  contract::Collect();
  const contract::Guards* const all = contract::guards;
  contract::guards = nullptr;
  if (all == nullptr) return;
  ListCell* cell;
  foreach (cell, all->contracts)
    if (strcmp(static_cast<char*>(lfirst(cell)), name) == 0)
      contract::Raise(psprintf("a change of contract \"%s\"", name), "Triggers run it, or it may write a protected table.");
}

void GuardTruncate(const char* table) {
  if (contract::Wanted()) contract::Raise(psprintf("TRUNCATE of table \"%s\"", table), "It is a table with contracts, or protected.");
}

// By name only: what it cascades to is refused at its position.
void GuardTruncateEarly(Node* statement) {
  if (!contract::Wanted()) return;
  ListCell* cell;
  foreach (cell, castNode(TruncateStmt, statement)->relations) {
    Oid const relation = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);
    if (OidIsValid(relation) && RelationHasContracts(relation)) GuardTruncate(get_rel_name(relation));
  }
}

}  // namespace dadbs::pg
