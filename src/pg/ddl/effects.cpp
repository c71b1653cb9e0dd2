/*
 * effects.cpp: what an execution changed, and what it must not have made.
 *
 * object_access_hook tells of every object created, altered or dropped while a recorder is on. From that, and from what the
 * statement names, come the definition keys: none where nothing was recorded (COMMENT, GRANT, IF NOT EXISTS), so that such
 * statements doom nobody (H29). Dropped objects are resolved when the hook tells of them, the others afterwards. Objects
 * that rows depend on without a lock (types, functions, operators: H4) are followed through pg_depend to the relations whose
 * columns, CHECKs, generated columns or indexes use them.
 *
 * Afterwards the catalogs are asked for what the parse tree does not show: references to what only this member has (local
 * tables, extensions), expressions that are not alike everywhere or lend a session's rights (expressions.cpp), functions
 * replaced under an index. The errors roll everything
 * back, on every member alike.
 *
 * What names something without depending on it (LIKE, a function's text) is met while it is looked up: no schema that only this member has
 * is searched meanwhile.
 *
 * The recorder lives in the memory context of the execution; the pointer to it is reset on errors by StopRecording.
 */
#include "effects.h"

#include "dadbs/pg/approval.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/history.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_conversion.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_ts_parser.h"
#include "catalog/pg_ts_template.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::ddl {

namespace {

Recorder* current = nullptr;
object_access_hook_type previous_hook = nullptr;

// -- from objects to relations

// The relation that a row of a catalog belongs to, by the row's oid.
Oid RelationColumnOf(Oid catalog, Oid index, AttrNumber oid_column, Oid object, AttrNumber relation_column) {
  Oid result = InvalidOid;
  TakeColumn(catalog, index, oid_column, object, relation_column, [&](Datum value) { result = DatumGetObjectId(value); });
  return result;
}

}  // namespace

Oid OwningRelation(const ObjectAddress& object) {
  switch (object.classId) {
    case RelationRelationId:
      return object.objectId;
    case ConstraintRelationId:
      return RelationColumnOf(ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, object.objectId,
                              Anum_pg_constraint_conrelid);
    case AttrDefaultRelationId:
      return RelationColumnOf(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, object.objectId,
                              Anum_pg_attrdef_adrelid);
    case TriggerRelationId:
      return RelationColumnOf(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object.objectId,
                              Anum_pg_trigger_tgrelid);
    case PolicyRelationId:
      return RelationColumnOf(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, object.objectId,
                              Anum_pg_policy_polrelid);
    case RewriteRelationId:
      return RelationColumnOf(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, object.objectId,
                              Anum_pg_rewrite_ev_class);
    default:
      return InvalidOid;
  }
}

namespace {

// A rewritten table's transient heap and its type are gone by the time they are looked at.
bool Exists(const ObjectAddress& object) {
  int cache;
  switch (object.classId) {
    case RelationRelationId:
      cache = RELOID;
      break;
    case TypeRelationId:
      cache = TYPEOID;
      break;
    case ProcedureRelationId:
      cache = PROCOID;
      break;
    case ConstraintRelationId:
      cache = CONSTROID;
      break;
    default:
      return true;
  }
  return SearchSysCacheExists1(cache, ObjectIdGetDatum(object.objectId));
}

}  // namespace

// Invalid: its kind is in no schema. (get_object_namespace raises for kinds without names.)
Oid SchemaOf(const ObjectAddress& object) {
  if (!Exists(object)) return InvalidOid;
  switch (object.classId) {
    case RelationRelationId:
    case TypeRelationId:
    case ProcedureRelationId:
    case OperatorRelationId:
    case OperatorClassRelationId:
    case OperatorFamilyRelationId:
    case CollationRelationId:
    case ConversionRelationId:
    case StatisticExtRelationId:
    case TSConfigRelationId:
    case TSDictionaryRelationId:
    case TSParserRelationId:
    case TSTemplateRelationId:
      return get_object_namespace(&object);
    default:
      return InvalidOid;
  }
}

bool IsGenerated(Oid attrdef) {
  ObjectAddress const column = GetAttrDefaultColumnAddress(attrdef);
  return OidIsValid(column.objectId) && get_attgenerated(column.objectId, column.objectSubId) != '\0';
}

// pg_depend in either direction: what `object` refers to, or what refers to it. List of Dependency*.
List* Dependencies(const ObjectAddress& object, bool referring) {
  List* result = NIL;
  Relation depend = table_open(DependRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], referring ? Anum_pg_depend_refclassid : Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(object.classId));
  ScanKeyInit(&keys[1], referring ? Anum_pg_depend_refobjid : Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(object.objectId));
  SysScanDesc scan =
      systable_beginscan(depend, referring ? DependReferenceIndexId : DependDependerIndexId, true, nullptr, 2, keys);
  HeapTuple tuple;
  while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
    auto* form = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    auto* dependency = static_cast<Dependency*>(palloc(sizeof(Dependency)));
    if (referring)
      ObjectAddressSubSet(dependency->object, form->classid, form->objid, form->objsubid);
    else
      ObjectAddressSubSet(dependency->object, form->refclassid, form->refobjid, form->refobjsubid);
    dependency->type = form->deptype;
    result = lappend(result, dependency);
  }
  systable_endscan(scan);
  table_close(depend, AccessShareLock);
  return result;
}

namespace {

List* Follow(List* names, const ObjectAddress& object, ObjectAddresses* seen) {
  if (object_address_present(&object, seen)) return names;
  add_exact_object_address(&object, seen);
  ListCell* cell;
  foreach (cell, Dependencies(object, true)) {
    ObjectAddress const user = static_cast<Dependency*>(lfirst(cell))->object;
    switch (user.classId) {
      case RelationRelationId: {
        char const kind = get_rel_relkind(user.objectId);
        if (kind == RELKIND_COMPOSITE_TYPE) {
          ObjectAddress type;
          ObjectAddressSet(type, TypeRelationId, get_rel_type_id(user.objectId));
          names = Follow(names, type, seen);
        } else if (kind != RELKIND_VIEW && kind != RELKIND_SEQUENCE) {
          names = AddRelName(names, MakeRelName(user.objectId));
        }
        break;
      }
      case ConstraintRelationId: {
        Oid const relation = OwningRelation(user);
        if (OidIsValid(relation)) {
          names = AddRelName(names, MakeRelName(relation));
        } else {
          ObjectAddress domain;
          ObjectAddressSet(domain, TypeRelationId,
                           RelationColumnOf(ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid,
                                            user.objectId, Anum_pg_constraint_contypid));
          names = Follow(names, domain, seen);
        }
        break;
      }
      case AttrDefaultRelationId:
        if (IsGenerated(user.objectId)) names = AddRelName(names, MakeRelName(OwningRelation(user)));
        break;
      case TypeRelationId:
      case OperatorRelationId:
      case ProcedureRelationId: {
        ObjectAddress whole;
        ObjectAddressSet(whole, user.classId, user.objectId);
        names = Follow(names, whole, seen);
        break;
      }
      default:
        break;
    }
  }
  return names;
}

// -- recording

// What stands there is made with the contracts: nobody else's procedure takes the place of one.
void CheckNotOfContracts(const ObjectAddress& object) {
  Oid const schema = object.classId == NamespaceRelationId ? object.objectId : SchemaOf(object);
  const char* const name = OidIsValid(schema) ? get_namespace_name(schema) : nullptr;
  if (name == nullptr || strcmp(name, kContractsSchema) != 0) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("objects of the schema \"%s\" cannot be created, changed or dropped", name),
                  errhint("Use dadbs.deploy_contract() and dadbs.drop_contract(); privileges are granted and revoked as usual.")));
}

void RecordDrop(const ObjectAddress& object, int flags) {
  // Internal ones are steps of an ALTER (a rewritten table's old shell); the statement names the relation.
  if (flags & PERFORM_DELETION_INTERNAL) return;
  if (current->as != RecordedAs::kDropExtension) CheckNotOfContracts(object);
  Oid const relation = OwningRelation(object);
  if (OidIsValid(relation)) current->dropped = AddRelName(current->dropped, MakeRelName(relation));
  if (object.classId == TypeRelationId || object.classId == ProcedureRelationId || object.classId == OperatorRelationId)
    current->dropped = DependentRelations(current->dropped, object);
}

// Of a definition that is executed. All that we keep is in the extension; it may stand in a shared schema where it was created by an
// older control file.
void CheckDrop(const ObjectAddress& object) {
  if (object.classId == ExtensionRelationId && object.objectId == get_extension_oid("dadbs", true))
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("a shared definition cannot drop the extension dadbs"),
                    errhint("Drop the objects of its schema one by one.")));
  GuardObject(object, true);
}

// A superuser's own ALTER or DROP of what deploy_contract has made: his member would come to other verdicts than the others.
void CheckKeepsContracts(const ObjectAddress& object) {
  if (object.classId != ProcedureRelationId || get_func_namespace(object.objectId) != get_namespace_oid(kContractSchema, true)) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("the function of contract \"%s\" cannot be changed", get_func_name(object.objectId)),
                  errhint("Use dadbs.deploy_contract() or dadbs.drop_contract().")));
}

// By the statement that is recorded.
bool WasMade(const ObjectAddress& object) {
  ListCell* cell;
  foreach (cell, current->made) {
    auto* const made = static_cast<ObjectAddress*>(lfirst(cell));
    if (made->classId == object.classId && made->objectId == object.objectId) return true;
  }
  return false;
}

void Record(ObjectAccessType access, const ObjectAddress& object, void* arg) {
  if (current->as == RecordedAs::kLocal) CheckKeepsContracts(object);
  if (current->as == RecordedAs::kLocal && access != OAT_POST_CREATE && !WasMade(object)) CheckStaysLocal(object);
  MemoryContext const old = MemoryContextSwitchTo(current->context);
  current->any = true;
  if (access == OAT_DROP) {
    if (Executing()) CheckDrop(object);
    RecordDrop(object, static_cast<ObjectAccessDrop*>(arg)->dropflags);
  } else {
    auto* copy = static_cast<ObjectAddress*>(palloc(sizeof(ObjectAddress)));
    // A default is told by its table and column: its own row cannot be seen yet.
    ObjectAddressSubSet(*copy, object.classId, object.objectId,
                        object.classId == AttrDefaultRelationId ? object.objectSubId : 0);
    ListCell* cell;
    bool known = false;
    foreach (cell, current->objects)
      known |= memcmp(lfirst(cell), copy, sizeof(*copy)) == 0;
    if (!known) current->objects = lappend(current->objects, copy);
    if (access == OAT_POST_CREATE) current->made = lappend(current->made, copy);
  }
  MemoryContextSwitchTo(old);
}

bool IsEverywhere(Oid schema) {
  if (IsSharedSchema(schema) || IsCatalogNamespace(schema) || IsToastNamespace(schema) || isAnyTempNamespace(schema)) return true;
  const char* const name = get_namespace_name(schema);
  for (const char* known : {"information_schema", "dadbs", "dadbs_internal", kContractSchema})
    if (name != nullptr && strcmp(name, known) == 0) return true;
  return false;
}

// While a shared definition is executed. What LIKE, %TYPE, the bound of a partition or the text of a function name leaves no dependency behind.
void CheckSearched(Oid schema, ObjectAccessNamespaceSearch* search) {
  if (!Executing() || IsEverywhere(schema)) return;
  search->result = false;
  if (!search->ereport_on_violation) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("schema \"%s\" is not shared", get_namespace_name(schema)),
                  errdetail("What is in it is this member's own: other members may not have it."),
                  errhint("Use built-in and shared objects only.")));
}

// Built in, and another answer on each member. (Settings are fixed at the position.)
bool AsksThisServer(Oid function) {
  if (function >= FirstNormalObjectId) return false;
  char const kind = func_volatile(function);
  const char* const name = kind == PROVOLATILE_IMMUTABLE ? nullptr : get_func_name(function);
  if (name == nullptr || strncmp(name, "pg_sleep", 8) == 0 || strcmp(name, "set_config") == 0 || strcmp(name, "pg_typeof") == 0) return false;
  if (kind == PROVOLATILE_VOLATILE || strcmp(name, "version") == 0) return true;
  for (const char* start : {"pg_", "inet_", "txid_", "has_", "to_reg"})
    if (strncmp(name, start, strlen(start)) == 0) return true;
  return false;
}

// A function may say that it is immutable, and what a definition fills or judges rows by must be alike on all members.
void CheckCalled(Oid function) {
  if (!Executing() || !InsideFunction() || !AsksThisServer(function)) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("a function that a shared definition calls cannot call %s()", get_func_name(function)),
                  errdetail("Each member would get another answer.")));
}

void OnObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void* arg) {
  if (previous_hook) previous_hook(access, class_id, object_id, sub_id, arg);
  if (access == OAT_NAMESPACE_SEARCH) return CheckSearched(object_id, static_cast<ObjectAccessNamespaceSearch*>(arg));
  if (access == OAT_FUNCTION_EXECUTE) {
    CheckFunctionMayRun(object_id);
    CheckCalled(object_id);
    return;
  }
  if (current == nullptr || (access != OAT_POST_CREATE && access != OAT_POST_ALTER && access != OAT_DROP)) return;
  ObjectAddress object;
  ObjectAddressSubSet(object, class_id, object_id, sub_id);
  Record(access, object, arg);
}

}  // namespace

// Afterwards.
ObjectAddress Resolved(const ObjectAddress& recorded) {
  ObjectAddress object = recorded;
  if (recorded.classId == AttrDefaultRelationId && recorded.objectSubId != 0)
    ObjectAddressSet(object, AttrDefaultRelationId,
                     GetAttrDefaultOid(recorded.objectId, static_cast<AttrNumber>(recorded.objectSubId)));
  return object;
}

// -- checks

bool IsSystemSchema(Oid schema) {
  if (IsCatalogNamespace(schema) || IsToastNamespace(schema)) return true;
  const char* name = get_namespace_name(schema);
  return name != nullptr && strcmp(name, "information_schema") == 0;
}

namespace {

bool IsOurSchema(Oid schema) {
  const char* name = get_namespace_name(schema);
  return name != nullptr && strcmp(name, "dadbs") == 0;
}

// Every member has it: built in, or shared.
bool EverywhereAlike(const ObjectAddress& object) {
  Oid const extension = getExtensionOfObject(object.classId, object.objectId);
  if (OidIsValid(extension)) {
    const char* name = get_extension_name(extension);
    return name != nullptr && (strcmp(name, "plpgsql") == 0 || strcmp(name, "dadbs") == 0);
  }
  if (object.classId == NamespaceRelationId) return IsSharedSchema(object.objectId);
  Oid const schema = SchemaOf(object);
  if (OidIsValid(schema))
    return IsSystemSchema(schema) || IsOurSchema(schema) || IsSharedObject(object);
  switch (object.classId) {
    case ExtensionRelationId:
    case ForeignServerRelationId:
    case AccessMethodRelationId:
    case CastRelationId:
    case LanguageRelationId:
      return false;  // built-in ones are pinned and have no entry
    default:
      return true;
  }
}

void CheckReferences(const ObjectAddress& object) {
  ListCell* cell;
  foreach (cell, Dependencies(object, false)) {
    ObjectAddress const referred = static_cast<Dependency*>(lfirst(cell))->object;
    if (EverywhereAlike(referred)) continue;
    ereport(ERROR, (errcode(kErrNotSupported),
                    errmsg("%s cannot use %s", getObjectDescription(&object, false), getObjectDescription(&referred, false)),
                    errdetail("It is this member's own: other members may not have it."),
                    errhint("Use built-in and shared objects only.")));
  }
}

void CheckPlace(const ObjectAddress& object) {
  Oid const schema = SchemaOf(object);
  if (!OidIsValid(schema) || IsToastNamespace(schema) || IsSharedObject(object)) return;
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("%s would not be in a shared schema", getObjectDescription(&object, false))));
}

// While a table is rewritten, its new rows are in one that is named after the number that the table has on this member.
void CheckNameIsFree(const ObjectAddress& object) {
  constexpr char kTransient[] = "pg_temp_";
  char* name = nullptr;
  if (object.classId == RelationRelationId) name = get_rel_name(object.objectId);
  if (object.classId == TypeRelationId)
    TakeColumn(TypeRelationId, TypeOidIndexId, Anum_pg_type_oid, object.objectId, Anum_pg_type_typname,
               [&](Datum value) { name = pstrdup(NameStr(*DatumGetName(value))); });
  if (name == nullptr || strncmp(name, kTransient, strlen(kTransient)) != 0) return;
  const char* const number = name + strlen(kTransient);
  if (*number == '\0' || strspn(number, "0123456789") != strlen(number)) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("the name \"%s\" is not supported for shared objects", name),
                  errdetail("PostgreSQL gives it to a table that is rewritten, on one member or the other.")));
}

}  // namespace

bool StoresValues(const ObjectAddress& user) {
  char const kind = user.classId == RelationRelationId ? get_rel_relkind(user.objectId) : '\0';
  return kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX || (user.classId == AttrDefaultRelationId && IsGenerated(user.objectId));
}

namespace {

// Rows that an index or a generated column has computed by the old body would stay. Those of this member alone decide nothing.
void CheckFunctionNotStored(const ObjectAddress& function) {
  ListCell* cell;
  foreach (cell, Dependencies(function, true)) {
    ObjectAddress const user = static_cast<Dependency*>(lfirst(cell))->object;
    if (StoresValues(user) && IsSharedObject(user))
      ereport(ERROR, (errcode(kErrNotSupported),
                      errmsg("cannot replace %s: an index or a generated column has stored its values",
                             getObjectDescription(&function, false)),
                      errhint("Drop the index or column first, or give the new function another name.")));
  }
}

Oid OidOf(const RelName* name) {
  Oid const schema = get_namespace_oid(name->schema, true);
  return OidIsValid(schema) ? get_relname_relid(name->name, schema) : InvalidOid;
}

}  // namespace

void InitEffects() {
  previous_hook = object_access_hook;
  object_access_hook = OnObjectAccess;
}

RelName* MakeRelName(Oid relation) {
  if (!OidIsValid(relation)) return nullptr;
  char const kind = get_rel_relkind(relation);
  if (kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX) relation = IndexGetRelation(relation, true);
  if (!OidIsValid(relation) || kind == '\0' || kind == RELKIND_TOASTVALUE) return nullptr;
  Oid const schema = get_rel_namespace(relation);
  if (!IsSharedSchema(schema)) return nullptr;
  auto* name = static_cast<RelName*>(palloc(sizeof(RelName)));
  name->schema = get_namespace_name(schema);
  name->name = get_rel_name(relation);
  return name;
}

List* AddRelName(List* names, RelName* name) {
  if (name == nullptr || name->schema == nullptr || name->name == nullptr) return names;
  ListCell* cell;
  foreach (cell, names) {
    auto* known = static_cast<RelName*>(lfirst(cell));
    if (strcmp(known->schema, name->schema) == 0 && strcmp(known->name, name->name) == 0) return names;
  }
  return lappend(names, name);
}

List* DependentRelations(List* names, const ObjectAddress& object) {
  ObjectAddresses* seen = new_object_addresses();
  names = Follow(names, object, seen);
  free_object_addresses(seen);
  return names;
}

Recorder* StartRecording(RecordedAs as) {
  auto* recorder = static_cast<Recorder*>(palloc0(sizeof(Recorder)));
  recorder->context = CurrentMemoryContext;
  recorder->previous = current;
  recorder->as = as;
  current = recorder;
  return recorder;
}

void StopRecording(Recorder* recorder) { current = recorder->previous; }

void RecordMarks(Recorder* recorder, Node* statement) {
  if (!IsA(statement, AlterTableStmt)) return;
  ListCell* cell;
  foreach (cell, reinterpret_cast<AlterTableStmt*>(statement)->cmds) {
    AlterTableType const kind = lfirst_node(AlterTableCmd, cell)->subtype;
    recorder->any |= kind == AT_ClusterOn || kind == AT_DropCluster;
  }
}

bool AnythingRecorded(const Recorder* recorder) { return recorder->any; }

void ForgetRecorded(const Recorder* recorder) {
  ForgetCompiled();
  ListCell* cell;
  foreach (cell, recorder->objects)
    if (auto* const object = static_cast<ObjectAddress*>(lfirst(cell)); object->classId == ProcedureRelationId) ForgetCreated(object->objectId);
}

List* WrittenRelations(Recorder* recorder, List* named_before) {
  if (!recorder->any) return NIL;
  List* names = list_concat_copy(named_before, NIL);
  ListCell* cell;
  foreach (cell, recorder->dropped) names = AddRelName(names, static_cast<RelName*>(lfirst(cell)));
  foreach (cell, recorder->objects) {
    ObjectAddress const object = Resolved(*static_cast<ObjectAddress*>(lfirst(cell)));
    Oid const relation = OwningRelation(object);
    if (OidIsValid(relation))
      names = AddRelName(names, MakeRelName(relation));
    else
      names = DependentRelations(names, object);
  }
  return names;
}

void CheckEffects(Recorder* recorder) {
  ListCell* cell;
  foreach (cell, recorder->objects) {
    ObjectAddress const object = Resolved(*static_cast<ObjectAddress*>(lfirst(cell)));
    if (!Exists(object)) continue;
    CheckNotOfContracts(object);
    GuardObject(object, false);
    CheckPlace(object);
    CheckNameIsFree(object);
    CheckReferences(object);
    if (object.classId == ConstraintRelationId) CheckConstraintIsImmutable(object.objectId);
    if (object.classId == RelationRelationId && object.objectSubId == 0) {
      CheckPartitionKey(object.objectId);
      CheckIndexExpressions(object.objectId);
    }
    if (object.classId == ProcedureRelationId) CheckFunctionNotStored(object);
    if (object.classId == TriggerRelationId) CheckContractTrigger(object.objectId, true);
    CheckFunctionsMayBeLent(object);
  }
}

void KeepReplicaIdentities(List* written) {
  ListCell* cell;
  foreach (cell, written) {
    Oid const oid = OidOf(static_cast<RelName*>(lfirst(cell)));
    if (!OidIsValid(oid) || !IsSharedRelation(oid)) continue;
    Relation relation = OpenLookedUp(oid);
    bool const good = HasWantedReplicaIdentity(relation);
    ReplicaIdentity const wanted = WantedReplicaIdentity(relation);
    table_close(relation, NoLock);
    if (good) continue;
    auto* identity = makeNode(ReplicaIdentityStmt);
    identity->identity_type = wanted.type;
    identity->name = OidIsValid(wanted.index) ? get_rel_name(wanted.index) : nullptr;
    auto* cmd = makeNode(AlterTableCmd);
    cmd->subtype = AT_ReplicaIdentity;
    cmd->def = reinterpret_cast<Node*>(identity);
    AlterTableInternal(oid, list_make1(cmd), false);
    CommandCounterIncrement();
  }
}

namespace {

ArrayType* TextArray(List* strings) {
  auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * (list_length(strings) + 1)));
  int count = 0;
  ListCell* cell;
  foreach (cell, strings) values[count++] = CStringGetTextDatum(static_cast<char*>(lfirst(cell)));
  return construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT);
}

void WriteRelationVersion(Oid oid, const RelName* name, core::Position position) {
  Relation relation = table_open(oid, AccessShareLock);
  List *columns = NIL, *types = NIL, *key_columns = NIL;
  TupleDesc const descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(descriptor, i);
    if (column->attisdropped) continue;
    columns = lappend(columns, pstrdup(NameStr(column->attname)));
    // Built-in ones as everybody writes them, others with their schema, whatever search_path says.
    bits16 const qualify = column->atttypid < FirstNormalObjectId ? 0 : FORMAT_TYPE_FORCE_QUALIFY;
    types = lappend(types, format_type_extended(column->atttypid, column->atttypmod, FORMAT_TYPE_TYPEMOD_GIVEN | qualify));
  }
  Oid const key = KeyIndexOf(relation);
  if (OidIsValid(key)) {
    Relation index = index_open(key, AccessShareLock);
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
      key_columns = lappend(key_columns, get_attname(oid, index->rd_index->indkey.values[i], false));
    index_close(index, AccessShareLock);
  }
  table_close(relation, AccessShareLock);
  Oid types_of[] = {TEXTOID, TEXTOID, INT8OID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
  Datum values[] = {CStringGetTextDatum(name->schema),
                    CStringGetTextDatum(name->name),
                    Int64GetDatum(static_cast<int64>(position.height.value)),
                    Int32GetDatum(static_cast<int32>(position.index)),
                    PointerGetDatum(TextArray(columns)),
                    PointerGetDatum(TextArray(types)),
                    PointerGetDatum(TextArray(key_columns))};
  if (SPI_execute_with_args("INSERT INTO dadbs_internal.relation_version VALUES ($1, $2, $3, $4, $5, $6, $7) "
                            "ON CONFLICT (schema_name, relation_name, height, index) DO UPDATE "
                            "SET columns = excluded.columns, types = excluded.types, key_columns = excluded.key_columns",
                            7, types_of, values, nullptr, false, 0) < 0)
    elog(ERROR, "could not record the definition of %s.%s", name->schema, name->name);
}

}  // namespace

void WriteRelationVersions(List* written, core::Position position) {
  if (written == NIL) return;
  SPI_connect();
  ListCell* cell;
  foreach (cell, written) {
    auto* name = static_cast<RelName*>(lfirst(cell));
    Oid const oid = OidOf(name);
    if (OidIsValid(oid) && IsSharedRelation(oid)) WriteRelationVersion(oid, name, position);
  }
  SPI_finish();
}

}  // namespace dadbs::pg::ddl
