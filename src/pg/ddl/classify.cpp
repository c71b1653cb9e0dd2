/*
 * classify.cpp: what a statement is about: shared objects, this member's own, or nothing that exists.
 *
 * Names are looked up as the session (or the position) sees them, so a temporary table hides a shared one of the same
 * name and the statement is local (H34). What exists nowhere is executed locally: plain Postgres then says so, with its
 * own words, or its NOTICE of IF EXISTS. Names are looked up without locks: a name that has changed its meaning by the
 * time of the position is resolved again there, by the same rules, in shared schemas only.
 *
 * A name that says a schema which is not shared is local, whether anything has it or not: another member may have such a schema, or may
 * not, and IF EXISTS would be an error there and a NOTICE here. Which schemas are shared is the same for all.
 */
#include "internal.h"

extern "C" {
#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_oper.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::ddl {
namespace {

void CountScope(Targets* t, bool is_shared, const char* name) {
  if (is_shared) {
    t->shared++;
    t->shared_name = name;
  } else {
    t->local++;
    t->local_name = name;
  }
}

void CountObject(Targets* t, const ObjectAddress& object, const char* name) {
  if (!OidIsValid(object.objectId))
    t->missing++;
  else
    CountScope(t, IsSharedObject(object), name);
}

// Of a qualified name: the schema that it says; null: none.
const char* SchemaIn(List* name) {
  int const length = list_length(name);
  return length < 2 ? nullptr : strVal(list_nth(name, length == 2 ? 0 : 1));
}

bool SaysLocalSchema(const char* schema) { return schema != nullptr && !IsSharedSchemaName(schema); }

bool SaysLocalSchema(TypeName* type) {
  // schema.table.column%TYPE
  const char* const schema = SchemaIn(type->pct_type ? list_truncate(list_copy(type->names), list_length(type->names) - 1) : type->names);
  return SaysLocalSchema(schema) && strcmp(schema, "pg_catalog") != 0 && strcmp(schema, "information_schema") != 0;
}

// A name as get_object_address takes it, of an object of that type.
bool SaysLocalSchema(ObjectType type, Node* object) {
  if (IsA(object, ObjectWithArgs)) {
    auto* const routine = reinterpret_cast<ObjectWithArgs*>(object);
    ListCell* cell;
    foreach (cell, routine->objargs)
      if (lfirst(cell) != nullptr && SaysLocalSchema(lfirst_node(TypeName, cell))) return true;  // null: NONE of an operator
    return SaysLocalSchema(SchemaIn(routine->objname));
  }
  if (!IsA(object, List)) return false;
  List* names = reinterpret_cast<List*>(object);
  if (type == OBJECT_OPCLASS || type == OBJECT_OPFAMILY) names = list_copy_tail(names, 1);
  return names != NIL && IsA(linitial(names), String) && SaysLocalSchema(SchemaIn(names));
}

Oid LookUp(const RangeVar* name) { return RangeVarGetRelid(name, NoLock, true); }

void CountRelation(Targets* t, const RangeVar* name) {
  if (name == nullptr) return;
  if (SaysLocalSchema(name->schemaname)) return CountScope(t, false, name->relname);
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, LookUp(name));
  CountObject(t, address, name->relname);
}

void CountSchema(Targets* t, const char* name, bool exists) {
  if (exists && IsSharedSchemaName(name) && !OidIsValid(get_namespace_oid(name, true)))
    t->missing++;
  else
    CountScope(t, IsSharedSchemaName(name), name);
}

void CountNewRelation(Targets* t, const RangeVar* name) {
  bool const local = name->relpersistence == RELPERSISTENCE_TEMP || SaysLocalSchema(name->schemaname);
  CountScope(t, !local && IsSharedSchema(RangeVarGetCreationNamespace(name)), name->relname);
}

void CountNewName(Targets* t, List* qualified) {
  char* name = nullptr;
  if (SaysLocalSchema(SchemaIn(qualified))) return CountScope(t, false, strVal(llast(qualified)));
  Oid const schema = QualifiedNameGetCreationNamespace(qualified, &name);
  CountScope(t, IsSharedSchema(schema), name);
}

void CountType(Targets* t, TypeName* name) {
  if (name == nullptr) return;
  if (SaysLocalSchema(name)) return CountScope(t, false, TypeNameToString(name));
  ObjectAddress address;
  ObjectAddressSet(address, TypeRelationId, LookupTypeNameOid(nullptr, name, true));
  CountObject(t, address, TypeNameToString(name));
}

bool IsRelationKind(ObjectType type) {
  switch (type) {
    case OBJECT_TABLE:
    case OBJECT_VIEW:
    case OBJECT_MATVIEW:
    case OBJECT_INDEX:
    case OBJECT_SEQUENCE:
    case OBJECT_FOREIGN_TABLE:
      return true;
    default:
      return false;
  }
}

// Triggers, rules, policies, table constraints, columns: their names end in the name of what is within the relation.
bool IsPartOfRelation(ObjectType type) {
  return type == OBJECT_TRIGGER || type == OBJECT_RULE || type == OBJECT_POLICY || type == OBJECT_TABCONSTRAINT ||
         type == OBJECT_COLUMN;
}

// COMMENT and DROP name a type by a TypeName, ALTER by a list of names.
TypeName* AsTypeName(Node* object) {
  return IsA(object, TypeName) ? reinterpret_cast<TypeName*>(object) : makeTypeNameFromNameList(castNode(List, object));
}

// A constraint of a domain: COMMENT has (type, name), ALTER DOMAIN the domain's names.
TypeName* DomainOf(List* object) {
  return IsA(linitial(object), TypeName) ? linitial_node(TypeName, object) : makeTypeNameFromNameList(object);
}

const char* NameOf(Node* object) {
  switch (nodeTag(object)) {
    case T_List:  // of a transform, a type and a language
      if (IsA(linitial(reinterpret_cast<List*>(object)), TypeName)) return TypeNameToString(linitial_node(TypeName, reinterpret_cast<List*>(object)));
      return NameListToString(reinterpret_cast<List*>(object));
    case T_String:
      return strVal(object);
    case T_TypeName:
      return TypeNameToString(reinterpret_cast<TypeName*>(object));
    case T_ObjectWithArgs:
      return NameListToString(reinterpret_cast<ObjectWithArgs*>(object)->objname);
    default:
      return "object";
  }
}

// A name as get_object_address takes it.
void CountNamed(Targets* t, ObjectType type, Node* object) {
  if (type == OBJECT_DATABASE || type == OBJECT_ROLE || type == OBJECT_TABLESPACE || type == OBJECT_EXTENSION) {
    CountScope(t, false, NameOf(object));
    return;
  }
  if (type == OBJECT_SCHEMA) {
    CountSchema(t, strVal(object), true);
    return;
  }
  if (IsRelationKind(type)) {
    CountRelation(t, makeRangeVarFromNameList(castNode(List, object)));
    return;
  }
  if (IsPartOfRelation(type)) {
    List* names = list_copy(castNode(List, object));
    CountRelation(t, makeRangeVarFromNameList(list_truncate(names, list_length(names) - 1)));
    return;
  }
  if (type == OBJECT_DOMCONSTRAINT) {
    CountType(t, DomainOf(castNode(List, object)));
    return;
  }
  if (type == OBJECT_TYPE || type == OBJECT_DOMAIN) {
    CountType(t, AsTypeName(object));
    return;
  }
  if (type == OBJECT_CAST) {
    Targets both;
    CountType(&both, linitial_node(TypeName, castNode(List, object)));
    CountType(&both, lsecond_node(TypeName, castNode(List, object)));
    if (both.missing > 0)
      t->missing++;
    else
      CountScope(t, both.shared > 0, NameOf(linitial_node(Node, castNode(List, object))));
    return;
  }
  if (SaysLocalSchema(type, object)) return CountScope(t, false, NameOf(object));
  Relation relation = nullptr;
  ObjectAddress const address = get_object_address(type, object, &relation, AccessShareLock, true);
  if (relation != nullptr) relation_close(relation, AccessShareLock);
  CountObject(t, address, NameOf(object));
}

void CountRelationOr(Targets* t, RangeVar* relation, ObjectType type, Node* object) {
  if (relation != nullptr)
    CountRelation(t, relation);
  else if (object != nullptr)
    CountNamed(t, type, object);
}

void CountGrant(Targets* t, GrantStmt* grant) {
  ListCell* cell;
  foreach (cell, grant->objects) {
    Node* object = static_cast<Node*>(lfirst(cell));
    if (grant->targtype == ACL_TARGET_ALL_IN_SCHEMA) {
      CountSchema(t, strVal(object), true);
      continue;
    }
    switch (grant->objtype) {
      case OBJECT_TABLE:
      case OBJECT_SEQUENCE:
        CountRelation(t, castNode(RangeVar, object));
        break;
      case OBJECT_LANGUAGE:
        CountScope(t, true, strVal(object));  // who may use it must not differ: rules.cpp refuses it
        break;
      case OBJECT_SCHEMA:
      case OBJECT_FUNCTION:
      case OBJECT_PROCEDURE:
      case OBJECT_ROUTINE:
        CountNamed(t, grant->objtype, object);
        break;
      case OBJECT_TYPE:
      case OBJECT_DOMAIN:
        CountType(t, makeTypeNameFromNameList(castNode(List, object)));
        break;
      default:
        CountScope(t, false, "object");
    }
  }
}

void CountPublication(Targets* t, List* objects, bool all_tables) {
  if (all_tables) CountScope(t, true, "all tables");
  ListCell* cell;
  foreach (cell, objects) {
    auto* object = lfirst_node(PublicationObjSpec, cell);
    if (object->pubobjtype == PUBLICATIONOBJ_TABLE && object->pubtable != nullptr)
      CountRelation(t, object->pubtable->relation);
    else if (object->name != nullptr)
      CountSchema(t, object->name, true);
    else
      CountScope(t, true, "the current schema");
  }
}

void CountDrop(Targets* t, DropStmt* drop) {
  ListCell* cell;
  foreach (cell, drop->objects) CountNamed(t, drop->removeType, static_cast<Node*>(lfirst(cell)));
}

const char* SchemaToCreate(CreateSchemaStmt* create) {
  if (create->schemaname != nullptr) return create->schemaname;
  return get_rolespec_name(create->authrole);
}

// They are changed as well: each names the other.
void CountLinkedOperators(Targets* t, DefineStmt* define) {
  Oid left = InvalidOid, right = InvalidOid;
  ListCell* cell;
  foreach (cell, define->definition) {
    auto* const option = lfirst_node(DefElem, cell);
    if (option->arg != nullptr && IsA(option->arg, TypeName)) {
      if (strcmp(option->defname, "leftarg") == 0) left = LookupTypeNameOid(nullptr, reinterpret_cast<TypeName*>(option->arg), true);
      if (strcmp(option->defname, "rightarg") == 0) right = LookupTypeNameOid(nullptr, reinterpret_cast<TypeName*>(option->arg), true);
    }
  }
  foreach (cell, define->definition) {
    auto* const option = lfirst_node(DefElem, cell);
    bool const commutator = strcmp(option->defname, "commutator") == 0;
    if (!commutator && strcmp(option->defname, "negator") != 0) continue;
    List* const names = defGetQualifiedName(option);
    if (SaysLocalSchema(SchemaIn(names))) {
      if (strcmp(SchemaIn(names), "pg_catalog") != 0) CountScope(t, false, strVal(llast(names)));
      continue;
    }
    ObjectAddress linked;
    ObjectAddressSet(linked, OperatorRelationId, LookupOperName(nullptr, names, commutator ? right : left, commutator ? left : right, true, -1));
    if (OidIsValid(linked.objectId) && IsSharedObject(linked)) CountScope(t, true, strVal(llast(names)));
  }
}

// What is made in it goes where it goes; what is granted in it does not.
void CountCreateSchema(Targets* t, CreateSchemaStmt* create) {
  CountSchema(t, SchemaToCreate(create), false);
  ListCell* cell;
  foreach (cell, create->schemaElts) {
    Node* const element = static_cast<Node*>(lfirst(cell));
    if (!IsA(element, GrantStmt)) continue;
    if (IsRoleStatement(element))
      CountScope(t, false, "database");
    else
      CountGrant(t, reinterpret_cast<GrantStmt*>(element));
  }
}

void CountExtension(Targets* t, CreateExtensionStmt* create) {
  if (OidIsValid(get_extension_oid(create->extname, true))) {
    t->missing++;
    return;
  }
  bool is_shared = true;
  ListCell* cell;
  foreach (cell, create->options) {
    auto* option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "schema") == 0) is_shared = IsSharedSchemaName(defGetString(option));
  }
  CountScope(t, is_shared, create->extname);
}

// IF NOT EXISTS of something shared that exists: it is plain Postgres's NOTICE.
bool ExistsAlready(Node* node) {
  RangeVar* name = nullptr;
  if (IsA(node, CreateStmt) && reinterpret_cast<CreateStmt*>(node)->if_not_exists)
    name = reinterpret_cast<CreateStmt*>(node)->relation;
  if (IsA(node, CreateSeqStmt) && reinterpret_cast<CreateSeqStmt*>(node)->if_not_exists)
    name = reinterpret_cast<CreateSeqStmt*>(node)->sequence;
  if (name != nullptr && name->relpersistence != RELPERSISTENCE_TEMP)
    return OidIsValid(get_relname_relid(name->relname, RangeVarGetCreationNamespace(name)));
  if (IsA(node, CreateSchemaStmt) && reinterpret_cast<CreateSchemaStmt*>(node)->if_not_exists)
    return OidIsValid(get_namespace_oid(SchemaToCreate(reinterpret_cast<CreateSchemaStmt*>(node)), true));
  if (IsA(node, IndexStmt) && reinterpret_cast<IndexStmt*>(node)->if_not_exists) {
    Oid const table = LookUp(reinterpret_cast<IndexStmt*>(node)->relation);
    return OidIsValid(table) &&
           OidIsValid(get_relname_relid(reinterpret_cast<IndexStmt*>(node)->idxname, get_rel_namespace(table)));
  }
  return false;
}

// Statements that make something in a schema.
bool CountCreate(Targets* t, Node* node) {
  switch (nodeTag(node)) {
    case T_CreateStmt:
      CountNewRelation(t, reinterpret_cast<CreateStmt*>(node)->relation);
      return true;
    case T_CreateForeignTableStmt:
      CountNewRelation(t, reinterpret_cast<CreateForeignTableStmt*>(node)->base.relation);
      return true;
    case T_CreateTableAsStmt:
      CountNewRelation(t, reinterpret_cast<CreateTableAsStmt*>(node)->into->rel);
      return true;
    case T_CreateSeqStmt:
      CountNewRelation(t, reinterpret_cast<CreateSeqStmt*>(node)->sequence);
      return true;
    case T_ViewStmt:
      CountNewRelation(t, reinterpret_cast<ViewStmt*>(node)->view);
      return true;
    case T_CompositeTypeStmt:
      CountNewRelation(t, reinterpret_cast<CompositeTypeStmt*>(node)->typevar);
      return true;
    case T_CreateFunctionStmt:
      CountNewName(t, reinterpret_cast<CreateFunctionStmt*>(node)->funcname);
      return true;
    case T_CreateEnumStmt:
      CountNewName(t, reinterpret_cast<CreateEnumStmt*>(node)->typeName);
      return true;
    case T_CreateRangeStmt:
      CountNewName(t, reinterpret_cast<CreateRangeStmt*>(node)->typeName);
      return true;
    case T_CreateDomainStmt:
      CountNewName(t, reinterpret_cast<CreateDomainStmt*>(node)->domainname);
      return true;
    case T_DefineStmt:
      CountNewName(t, reinterpret_cast<DefineStmt*>(node)->defnames);
      if (reinterpret_cast<DefineStmt*>(node)->kind == OBJECT_OPERATOR) CountLinkedOperators(t, reinterpret_cast<DefineStmt*>(node));
      return true;
    case T_CreateConversionStmt:
      CountNewName(t, reinterpret_cast<CreateConversionStmt*>(node)->conversion_name);
      return true;
    case T_CreateOpClassStmt:
      CountNewName(t, reinterpret_cast<CreateOpClassStmt*>(node)->opclassname);
      return true;
    case T_CreateOpFamilyStmt:
      CountNewName(t, reinterpret_cast<CreateOpFamilyStmt*>(node)->opfamilyname);
      return true;
    case T_CreateSchemaStmt:
      CountCreateSchema(t, reinterpret_cast<CreateSchemaStmt*>(node));
      return true;
    case T_ImportForeignSchemaStmt:
      CountSchema(t, reinterpret_cast<ImportForeignSchemaStmt*>(node)->local_schema, true);
      return true;
    case T_CreateExtensionStmt:
      // The extension's objects would be in a shared schema unless it says otherwise; rules.cpp refuses that.
      CountExtension(t, reinterpret_cast<CreateExtensionStmt*>(node));
      return true;
    default:
      return false;
  }
}

// Partitions and parents are changed as well, and no hook tells of that.
void CountAlterTable(Targets* t, AlterTableStmt* alter) {
  CountRelation(t, alter->relation);
  ListCell* cell;
  foreach (cell, alter->cmds) {
    Node* const definition = lfirst_node(AlterTableCmd, cell)->def;
    if (definition != nullptr && IsA(definition, PartitionCmd)) CountRelation(t, reinterpret_cast<PartitionCmd*>(definition)->name);
    if (definition != nullptr && IsA(definition, RangeVar)) CountRelation(t, reinterpret_cast<RangeVar*>(definition));  // INHERIT
  }
}

// Statements about one relation.
bool CountOfRelation(Targets* t, Node* node) {
  switch (nodeTag(node)) {
    case T_AlterTableStmt:
      CountAlterTable(t, reinterpret_cast<AlterTableStmt*>(node));
      return true;
    case T_IndexStmt:
      CountRelation(t, reinterpret_cast<IndexStmt*>(node)->relation);
      return true;
    case T_AlterSeqStmt:
      CountRelation(t, reinterpret_cast<AlterSeqStmt*>(node)->sequence);
      return true;
    case T_CreateTrigStmt:
      CountRelation(t, reinterpret_cast<CreateTrigStmt*>(node)->relation);
      return true;
    case T_CreatePolicyStmt:
      CountRelation(t, reinterpret_cast<CreatePolicyStmt*>(node)->table);
      return true;
    case T_AlterPolicyStmt:
      CountRelation(t, reinterpret_cast<AlterPolicyStmt*>(node)->table);
      return true;
    case T_RuleStmt:
      CountRelation(t, reinterpret_cast<RuleStmt*>(node)->relation);
      return true;
    case T_CreateStatsStmt: {
      ListCell* cell;
      foreach (cell, reinterpret_cast<CreateStatsStmt*>(node)->relations) {
        Node* relation = static_cast<Node*>(lfirst(cell));
        if (IsA(relation, RangeVar)) CountRelation(t, reinterpret_cast<RangeVar*>(relation));
      }
      return true;
    }
    default:
      return false;
  }
}

void CountRename(Targets* t, RenameStmt* rename) {
  if (rename->renameType == OBJECT_SCHEMA) {
    CountSchema(t, rename->subname, true);
    if (t->missing == 0) CountSchema(t, rename->newname, false);
  } else {
    CountRelationOr(t, rename->relation, rename->renameType, rename->object);
  }
}

bool CountAlter(Targets* t, Node* node) {
  switch (nodeTag(node)) {
    case T_DropStmt:
      CountDrop(t, reinterpret_cast<DropStmt*>(node));
      return true;
    case T_CommentStmt: {
      auto* comment = reinterpret_cast<CommentStmt*>(node);
      CountNamed(t, comment->objtype, comment->object);
      return true;
    }
    case T_RenameStmt:
      CountRename(t, reinterpret_cast<RenameStmt*>(node));
      return true;
    case T_AlterObjectSchemaStmt: {
      auto* alter = reinterpret_cast<AlterObjectSchemaStmt*>(node);
      CountRelationOr(t, alter->relation, alter->objectType, alter->object);
      if (t->missing == 0) CountSchema(t, alter->newschema, true);
      return true;
    }
    case T_AlterObjectDependsStmt: {
      auto* alter = reinterpret_cast<AlterObjectDependsStmt*>(node);
      CountRelationOr(t, alter->relation, alter->objectType, alter->object);
      return true;
    }
    case T_AlterOwnerStmt: {
      auto* alter = reinterpret_cast<AlterOwnerStmt*>(node);
      CountRelationOr(t, alter->relation, alter->objectType, alter->object);
      return true;
    }
    case T_AlterFunctionStmt: {
      auto* alter = reinterpret_cast<AlterFunctionStmt*>(node);
      CountNamed(t, alter->objtype, reinterpret_cast<Node*>(alter->func));
      return true;
    }
    case T_AlterOperatorStmt:
      CountNamed(t, OBJECT_OPERATOR, reinterpret_cast<Node*>(reinterpret_cast<AlterOperatorStmt*>(node)->opername));
      return true;
    case T_AlterEnumStmt:
      CountType(t, makeTypeNameFromNameList(reinterpret_cast<AlterEnumStmt*>(node)->typeName));
      return true;
    case T_AlterDomainStmt:
      CountType(t, makeTypeNameFromNameList(reinterpret_cast<AlterDomainStmt*>(node)->typeName));
      return true;
    case T_AlterTypeStmt:
      CountType(t, makeTypeNameFromNameList(reinterpret_cast<AlterTypeStmt*>(node)->typeName));
      return true;
    case T_AlterStatsStmt:
      CountNamed(t, OBJECT_STATISTIC_EXT, reinterpret_cast<Node*>(reinterpret_cast<AlterStatsStmt*>(node)->defnames));
      return true;
    case T_AlterTSDictionaryStmt:
      CountNamed(t, OBJECT_TSDICTIONARY,
                 reinterpret_cast<Node*>(reinterpret_cast<AlterTSDictionaryStmt*>(node)->dictname));
      return true;
    case T_AlterTSConfigurationStmt:
      CountNamed(t, OBJECT_TSCONFIGURATION,
                 reinterpret_cast<Node*>(reinterpret_cast<AlterTSConfigurationStmt*>(node)->cfgname));
      return true;
    case T_AlterCollationStmt:
      CountNamed(t, OBJECT_COLLATION,
                 reinterpret_cast<Node*>(reinterpret_cast<AlterCollationStmt*>(node)->collname));
      return true;
    case T_AlterOpFamilyStmt: {
      auto* alter = reinterpret_cast<AlterOpFamilyStmt*>(node);
      CountNamed(t, OBJECT_OPFAMILY,
                 reinterpret_cast<Node*>(lcons(makeString(alter->amname), list_copy(alter->opfamilyname))));
      return true;
    }
    case T_GrantStmt:
      CountGrant(t, reinterpret_cast<GrantStmt*>(node));
      return true;
    case T_AlterDefaultPrivilegesStmt:
      CountDefaultPrivileges(reinterpret_cast<AlterDefaultPrivilegesStmt*>(node), t);
      return true;
    default:
      return false;
  }
}

// What is in no schema, and comes between the members wherever it is made.
bool CountGlobal(Targets* t, Node* node) {
  switch (nodeTag(node)) {
    case T_CreatePublicationStmt: {
      auto* create = reinterpret_cast<CreatePublicationStmt*>(node);
      CountPublication(t, create->pubobjects, create->for_all_tables);
      return true;
    }
    case T_AlterPublicationStmt: {
      auto* alter = reinterpret_cast<AlterPublicationStmt*>(node);
      if (alter->action == AP_DropObjects)
        CountScope(t, false, alter->pubname);
      else
        CountPublication(t, alter->pubobjects, alter->for_all_tables);
      return true;
    }
    case T_AlterExtensionContentsStmt: {
      auto* alter = reinterpret_cast<AlterExtensionContentsStmt*>(node);
      CountScope(t, false, alter->extname);  // what belongs to it goes with it
      CountNamed(t, alter->objtype, alter->object);
      return true;
    }
    case T_CreateEventTrigStmt:
      CountScope(t, true, reinterpret_cast<CreateEventTrigStmt*>(node)->trigname);
      return true;
    case T_CreateCastStmt: {
      Targets both;
      CountType(&both, reinterpret_cast<CreateCastStmt*>(node)->sourcetype);
      CountType(&both, reinterpret_cast<CreateCastStmt*>(node)->targettype);
      CountScope(t, both.shared > 0, "cast");
      return true;
    }
    case T_CreateTransformStmt:
      CountType(t, reinterpret_cast<CreateTransformStmt*>(node)->type_name);
      return true;
    default:
      return false;
  }
}

void AddRelation(List** names, const RangeVar* name) {
  if (name == nullptr) return;
  Oid const relation = LookUp(name);
  if (OidIsValid(relation)) *names = AddRelName(*names, MakeRelName(relation));
}

void AddNewRelation(List** names, const RangeVar* name) {
  auto* made = static_cast<RelName*>(palloc(sizeof(RelName)));
  made->schema = get_namespace_name(RangeVarGetCreationNamespace(name));
  made->name = name->relname;
  *names = AddRelName(*names, made);
}

// The parents of foreign keys take part: rows of theirs must not change between the two certifications.
void AddReferenced(List** names, List* elements) {
  ListCell* cell;
  foreach (cell, elements) {
    Node* element = static_cast<Node*>(lfirst(cell));
    if (IsA(element, Constraint)) {
      AddRelation(names, reinterpret_cast<Constraint*>(element)->pktable);
    } else if (IsA(element, ColumnDef)) {
      AddReferenced(names, reinterpret_cast<ColumnDef*>(element)->constraints);
    } else if (IsA(element, AlterTableCmd)) {
      Node* definition = reinterpret_cast<AlterTableCmd*>(element)->def;
      if (definition != nullptr && IsA(definition, PartitionCmd))
        AddRelation(names, reinterpret_cast<PartitionCmd*>(definition)->name);
      else if (definition != nullptr)
        AddReferenced(names, list_make1(definition));
    }
  }
}

void AddDependents(List** names, Oid class_id, Oid object) {
  if (!OidIsValid(object)) return;
  ObjectAddress address;
  ObjectAddressSet(address, class_id, object);
  *names = DependentRelations(*names, address);
}

void AddDependentsOfType(List** names, TypeName* name) {
  AddDependents(names, TypeRelationId, LookupTypeNameOid(nullptr, name, true));
}

// All functions of that name: which one is replaced is known when it has been.
void AddDependentsOfFunctions(List** names, CreateFunctionStmt* create) {
  if (!create->replace) return;
  FuncCandidateList candidate = FuncnameGetCandidates(create->funcname, -1, NIL, false, false, true, true);
  for (; candidate != nullptr; candidate = candidate->next) AddDependents(names, ProcedureRelationId, candidate->oid);
}

// Rows name their table with its schema, and renaming that locks no table: who writes at the same time goes by the old names.
void AddRelationsOf(List** names, const char* schema) {
  Oid const space = get_namespace_oid(schema, true);
  if (!OidIsValid(space)) return;
  Relation const relations = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(space));
  SysScanDesc const scan = systable_beginscan(relations, InvalidOid, false, nullptr, 1, &key);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));)
    *names = AddRelName(*names, MakeRelName(reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->oid));
  systable_endscan(scan);
  table_close(relations, AccessShareLock);
}

void AddNamed(List** names, ObjectType type, Node* object) {
  if (IsRelationKind(type)) {
    AddRelation(names, makeRangeVarFromNameList(castNode(List, object)));
  } else if (IsPartOfRelation(type)) {
    List* parts = list_copy(castNode(List, object));
    AddRelation(names, makeRangeVarFromNameList(list_truncate(parts, list_length(parts) - 1)));
  } else if (type == OBJECT_TYPE || type == OBJECT_DOMAIN) {
    AddDependentsOfType(names, AsTypeName(object));
  } else if (type == OBJECT_DOMCONSTRAINT) {
    AddDependentsOfType(names, DomainOf(castNode(List, object)));
  } else if (type == OBJECT_FUNCTION || type == OBJECT_PROCEDURE || type == OBJECT_ROUTINE || type == OBJECT_AGGREGATE ||
             type == OBJECT_OPERATOR) {
    Relation relation = nullptr;
    ObjectAddress const address = get_object_address(type, object, &relation, AccessShareLock, true);
    AddDependents(names, address.classId, address.objectId);
  }
}

void AddRelationOr(List** names, RangeVar* relation, ObjectType type, Node* object) {
  if (relation != nullptr)
    AddRelation(names, relation);
  else if (object != nullptr)
    AddNamed(names, type, object);
}

}  // namespace

Targets Classify(Node* node) {
  Targets t;
  if (IsRoleStatement(node)) return ClassifyRoles(node);
  if (!CountCreate(&t, node) && !CountOfRelation(&t, node) && !CountAlter(&t, node) && !CountGlobal(&t, node)) CountScope(&t, false, "object");
  if (t.shared == 0 || t.local > 0 || !ExistsAlready(node)) return t;
  Targets nothing;
  nothing.missing = t.shared;
  return nothing;
}

List* NamedRelations(Node* node) {
  List* names = NIL;
  ListCell* cell;
  switch (nodeTag(node)) {
    case T_CreateStmt: {
      auto* create = reinterpret_cast<CreateStmt*>(node);
      AddNewRelation(&names, create->relation);
      AddReferenced(&names, create->tableElts);
      AddReferenced(&names, create->constraints);
      foreach (cell, create->inhRelations) AddRelation(&names, lfirst_node(RangeVar, cell));
      break;
    }
    case T_ViewStmt:
      AddNewRelation(&names, reinterpret_cast<ViewStmt*>(node)->view);
      break;
    case T_AlterTableStmt:
      AddRelation(&names, reinterpret_cast<AlterTableStmt*>(node)->relation);
      AddReferenced(&names, reinterpret_cast<AlterTableStmt*>(node)->cmds);
      break;
    case T_IndexStmt:
      AddRelation(&names, reinterpret_cast<IndexStmt*>(node)->relation);
      break;
    case T_CreateTrigStmt:
      AddRelation(&names, reinterpret_cast<CreateTrigStmt*>(node)->relation);
      break;
    case T_CreatePolicyStmt:
      AddRelation(&names, reinterpret_cast<CreatePolicyStmt*>(node)->table);
      break;
    case T_AlterPolicyStmt:
      AddRelation(&names, reinterpret_cast<AlterPolicyStmt*>(node)->table);
      break;
    case T_RenameStmt: {
      auto* rename = reinterpret_cast<RenameStmt*>(node);
      if (rename->renameType == OBJECT_SCHEMA)
        AddRelationsOf(&names, rename->subname);
      else
        AddRelationOr(&names, rename->relation, rename->renameType, rename->object);
      break;
    }
    case T_AlterObjectSchemaStmt: {
      auto* alter = reinterpret_cast<AlterObjectSchemaStmt*>(node);
      AddRelationOr(&names, alter->relation, alter->objectType, alter->object);
      break;
    }
    case T_DropStmt:
      foreach (cell, reinterpret_cast<DropStmt*>(node)->objects)
        AddNamed(&names, reinterpret_cast<DropStmt*>(node)->removeType, static_cast<Node*>(lfirst(cell)));
      break;
    case T_CreateFunctionStmt:
      AddDependentsOfFunctions(&names, reinterpret_cast<CreateFunctionStmt*>(node));
      break;
    case T_AlterFunctionStmt:
      AddNamed(&names, OBJECT_ROUTINE, reinterpret_cast<Node*>(reinterpret_cast<AlterFunctionStmt*>(node)->func));
      break;
    case T_AlterEnumStmt:
      AddDependentsOfType(&names, makeTypeNameFromNameList(reinterpret_cast<AlterEnumStmt*>(node)->typeName));
      break;
    case T_AlterDomainStmt:
      AddDependentsOfType(&names, makeTypeNameFromNameList(reinterpret_cast<AlterDomainStmt*>(node)->typeName));
      break;
    default:
      break;
  }
  return names;
}

void NoticeMissing(DropStmt* drop) {
  if (!drop->missing_ok) return;
  ListCell* cell;
  foreach (cell, drop->objects) {
    Node* object = static_cast<Node*>(lfirst(cell));
    Targets t;
    CountNamed(&t, drop->removeType, object);
    if (t.missing > 0) ereport(NOTICE, (errmsg("\"%s\" does not exist, skipping", NameOf(object))));
  }
}

}  // namespace dadbs::pg::ddl
