/*
 * local_effects.cpp: what this member's own definitions may stand on, and what of it goes when the group changes that.
 *
 * Nothing permanent stands on shared objects, so that no shared DROP or ALTER stops here alone; temporary tables may, and give way at the position. What
 * they have computed by a function goes when the function is replaced. Names in shared schemas are not taken.
 */
#include "effects.h"

#include "dadbs/pg/contract.h"

extern "C" {
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::ddl {
namespace {

// An ALTER of the parent goes on to its children, which fails for those of another session.
bool IsParent(const ObjectAddress& object, const ObjectAddress& referred) {
  return object.classId == RelationRelationId && referred.classId == RelationRelationId && referred.objectSubId == 0 &&
         get_rel_relkind(referred.objectId) == RELKIND_RELATION && get_rel_relkind(object.objectId) == RELKIND_RELATION;
}

// Statistics, the multirange of a range, the other operator of a pair stand where their names say: a shared name would be taken on this member only.
void CheckLocalPlace(const ObjectAddress& object) {
  ObjectAddress named = object;
  if (object.classId == TypeRelationId && OidIsValid(get_element_type(object.objectId))) named.objectId = get_element_type(object.objectId);
  if (object.classId == NamespaceRelationId || !OidIsValid(SchemaOf(named)) || !IsSharedObject(named)) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s would be in a shared schema", getObjectDescription(&object, false)),
                  errdetail("It is this member's own: its name would be taken here and not on the others."),
                  errhint("Give it a name in a schema that is not shared, or in pg_temp.")));
}

}  // namespace

// Temporary tables may use shared types: they are dropped when the type is (DropLocalDependents). Anything else that stands
// on shared objects would stop a shared DROP or ALTER on this member only.
void CheckLocalEffects(Recorder* recorder) {
  ListCell *cell, *reference;
  foreach (cell, recorder->objects) {
    ObjectAddress const object = Resolved(*static_cast<ObjectAddress*>(lfirst(cell)));
    Oid const relation = OwningRelation(object);
    if (object.classId == TriggerRelationId) CheckContractTrigger(object.objectId, false);
    CheckLocalPlace(object);
    Oid const schema = OidIsValid(relation) ? get_rel_namespace(relation) : SchemaOf(object);
    char const kind = OidIsValid(relation) ? get_rel_relkind(relation) : '\0';
    bool const temporary = OidIsValid(schema) && isAnyTempNamespace(schema) && kind != RELKIND_VIEW;
    foreach (reference, Dependencies(object, false)) {
      ObjectAddress const referred = static_cast<Dependency*>(lfirst(reference))->object;
      if (referred.classId == NamespaceRelationId || !IsSharedObject(referred)) continue;
      if (temporary && !IsParent(object, referred)) continue;
      ereport(ERROR, (errcode(kErrNotSupported),
                      errmsg("%s cannot use %s", getObjectDescription(&object, false), getObjectDescription(&referred, false)),
                      errdetail("A local object that stands on a shared one would stop the group's changes to it here."),
                      errhint("Make it in a shared schema, or use a temporary table.")));
    }
  }
}

namespace {

// The object to drop so that a dependent one goes; a rule of a view is the view.
bool LocalDependent(const ObjectAddress& user, ObjectAddress* to_drop) {
  Oid const relation = OwningRelation(user);
  if (OidIsValid(relation)) {
    ObjectAddress whole;
    ObjectAddressSet(whole, RelationRelationId, relation);
    if (IsSharedObject(whole) || IsToastNamespace(get_rel_namespace(relation))) return false;
    *to_drop = user.classId == RewriteRelationId ? whole : user;
    if (user.classId == AttrDefaultRelationId && IsGenerated(user.objectId)) *to_drop = GetAttrDefaultColumnAddress(user.objectId);
    return true;
  }
  Oid const schema = SchemaOf(user);
  if (!OidIsValid(schema) || IsSharedObject(user) || IsSystemSchema(schema)) return false;
  *to_drop = user;
  return true;
}

// A shared type that is made of `object`: Postgres follows it down to what is stored, local columns too. False: none.
bool TypeMadeOf(const Dependency& dependency, ObjectAddress* type) {
  const ObjectAddress& user = dependency.object;
  if (user.classId == TypeRelationId) {
    *type = user;
    return true;
  }
  if (user.classId != RelationRelationId || user.objectSubId == 0) return false;
  Oid const row_type = get_rel_type_id(user.objectId);
  ObjectAddressSet(*type, TypeRelationId, row_type);
  return OidIsValid(row_type);
}

void DropHere(const ObjectAddress& local, const ObjectAddress& changed) {
  ereport(LOG, (errmsg("dropping %s: it stands on %s, which the group changes", getObjectDescription(&local, false), getObjectDescription(&changed, false))));
  performDeletion(&local, DROP_CASCADE, PERFORM_DELETION_QUIETLY);
  CommandCounterIncrement();
}

void DropLocalDependentsOf(const ObjectAddress& object, ObjectAddresses* seen) {
  if (object_address_present(&object, seen)) return;
  add_exact_object_address(&object, seen);
  ListCell* cell;
  foreach (cell, Dependencies(object, true)) {
    auto* dependency = static_cast<Dependency*>(lfirst(cell));
    ObjectAddress to_drop, type;
    if (dependency->type == DEPENDENCY_INTERNAL || dependency->type == DEPENDENCY_EXTENSION) {
      if (dependency->object.classId == TypeRelationId) DropLocalDependentsOf(dependency->object, seen);
    } else if (LocalDependent(dependency->object, &to_drop)) {
      DropHere(to_drop, object);
    } else if (TypeMadeOf(*dependency, &type)) {
      DropLocalDependentsOf(type, seen);
    }
  }
}

void DropLocalDependentsOf(const ObjectAddress& object) {
  ObjectAddresses* const seen = new_object_addresses();
  DropLocalDependentsOf(object, seen);
  free_object_addresses(seen);
}

void DropLocalDependentsOfNamed(ObjectType type, Node* object) {
  if (type == OBJECT_SCHEMA) return;
  Relation relation = nullptr;
  ObjectAddress const address = get_object_address(type, object, &relation, AccessShareLock, true);
  if (relation != nullptr) relation_close(relation, NoLock);
  if (OidIsValid(address.objectId) && IsSharedObject(address)) DropLocalDependentsOf(address);
}

// PostgreSQL takes temporary tables OF the type along, or refuses.
void DropLocalTablesOf(const RangeVar* composite) {
  Oid const relation = RangeVarGetRelid(composite, NoLock, true);
  ObjectAddress type;
  ObjectAddressSet(type, TypeRelationId, OidIsValid(relation) ? get_rel_type_id(relation) : InvalidOid);
  ListCell* cell;
  if (!OidIsValid(type.objectId) || !IsSharedObject(type)) return;
  foreach (cell, Dependencies(type, true)) {
    ObjectAddress const user = static_cast<Dependency*>(lfirst(cell))->object;
    if (user.classId == RelationRelationId && user.objectSubId == 0 && get_rel_relkind(user.objectId) == RELKIND_RELATION && !IsSharedObject(user)) DropHere(user, type);
  }
}

}  // namespace

void DropLocalValuesOf(Recorder* recorder) {
  ListCell *cell, *reference;
  foreach (cell, recorder->objects) {
    ObjectAddress const function = *static_cast<ObjectAddress*>(lfirst(cell));
    if (function.classId != ProcedureRelationId) continue;
    foreach (reference, Dependencies(function, true)) {
      ObjectAddress const user = static_cast<Dependency*>(lfirst(reference))->object;
      ObjectAddress to_drop;
      if (StoresValues(user) && LocalDependent(user, &to_drop)) DropHere(to_drop, function);
    }
  }
}

void DropLocalDependents(Node* node) {
  if (IsA(node, DropStmt)) {
    ListCell* cell;
    foreach (cell, reinterpret_cast<DropStmt*>(node)->objects)
      DropLocalDependentsOfNamed(reinterpret_cast<DropStmt*>(node)->removeType, static_cast<Node*>(lfirst(cell)));
  } else if (IsA(node, AlterDomainStmt)) {
    DropLocalDependentsOfNamed(
        OBJECT_TYPE,
        reinterpret_cast<Node*>(makeTypeNameFromNameList(reinterpret_cast<AlterDomainStmt*>(node)->typeName)));
  } else if (IsA(node, RenameStmt)) {
    if (reinterpret_cast<RenameStmt*>(node)->renameType == OBJECT_ATTRIBUTE) DropLocalTablesOf(reinterpret_cast<RenameStmt*>(node)->relation);
  } else if (IsA(node, AlterTableStmt)) {
    ObjectAddress relation;
    ObjectAddressSet(relation, RelationRelationId,
                     RangeVarGetRelid(reinterpret_cast<AlterTableStmt*>(node)->relation, NoLock, true));
    if (OidIsValid(relation.objectId) && IsSharedObject(relation)) DropLocalDependentsOf(relation);
  }
}

}  // namespace dadbs::pg::ddl
