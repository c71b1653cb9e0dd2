/*
 * expressions.cpp: what the expressions of a shared object may call.
 *
 * Two questions, both asked after the object was made, in the session and on every member at the position:
 *
 *   Does it say the same everywhere? A CHECK must be immutable, and so must be the operators by which a foreign key
 *   compares its sides: date = timestamptz asks the session's time zone (H1).
 *
 *   Whom does it run as? The default of a column or domain, a view and a trigger's WHEN run in the sessions of other
 *   members, with the rights of whoever writes or reads there. Functions that came over the chain are refused to
 *   superusers when they are called (code_guard.cpp). Built-in ones can be asked only here, for the session cannot
 *   tell its own call from the default's: DEFAULT pg_read_file('...') would copy a member's file into the table, set_config
 *   would open the other door, query_to_xml runs any query (H16). So volatile built-in functions have to be on a list, and
 *   those stable ones that take a query or a table's name are refused. Policies are not asked: superusers pass by them.
 *   Immutable expressions cannot call any of these.
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::ddl {
namespace {

bool IsHarmlessVolatile(Oid function) {
  switch (function) {
    case F_NEXTVAL:
    case F_CURRVAL:
    case F_LASTVAL:
    case F_SETVAL_REGCLASS_INT8:
    case F_SETVAL_REGCLASS_INT8_BOOL:
    case F_RANDOM:
    case F_GEN_RANDOM_UUID:
    case F_CLOCK_TIMESTAMP:
    case F_TIMEOFDAY: return true;
    default: return false;
  }
}

// Declared stable, and yet they run what their arguments name, or show what only some may see.
bool LendsRights(Oid function) {
  switch (function) {
    case F_PG_SHOW_ALL_SETTINGS:
    case F_PG_STAT_GET_ACTIVITY:
    case F_TABLE_TO_XML:
    case F_TABLE_TO_XMLSCHEMA:
    case F_TABLE_TO_XML_AND_XMLSCHEMA:
    case F_SCHEMA_TO_XML:
    case F_SCHEMA_TO_XMLSCHEMA:
    case F_SCHEMA_TO_XML_AND_XMLSCHEMA:
    case F_DATABASE_TO_XML:
    case F_DATABASE_TO_XMLSCHEMA:
    case F_DATABASE_TO_XML_AND_XMLSCHEMA: return true;
    default: return false;
  }
}

bool MustNotBeLent(Oid function, void* found) {
  bool const volatile_one = func_volatile(function) == PROVOLATILE_VOLATILE && !IsHarmlessVolatile(function);
  if (!volatile_one && !LendsRights(function)) return false;
  // What came over the chain is refused where it is called.
  if (function >= FirstNormalObjectId && IsSharedSchema(get_func_namespace(function))) return false;
  *static_cast<Oid*>(found) = function;
  return true;
}

// current_setting() shows a superuser the password in primary_conninfo and the like, which others do not see. Names with a
// dot are those of applications, or of an extension that not every member has loaded.
bool ReadsSecretSetting(const FuncExpr* call) {
  if (call->funcid != F_CURRENT_SETTING_TEXT && call->funcid != F_CURRENT_SETTING_TEXT_BOOL) return false;
  auto* const argument = static_cast<Node*>(linitial(call->args));
  if (!IsA(argument, Const) || castNode(Const, argument)->constisnull) return true;
  char* const name = TextDatumGetCString(castNode(Const, argument)->constvalue);
  return strchr(name, '.') == nullptr && (GetConfigOptionFlags(name, true) & GUC_SUPERUSER_ONLY) != 0;
}

bool FindLent(Node* node, void* found) {
  if (node == nullptr) return false;
  if (IsA(node, FuncExpr) && ReadsSecretSetting(castNode(FuncExpr, node))) {
    *static_cast<Oid*>(found) = castNode(FuncExpr, node)->funcid;
    return true;
  }
  if (check_functions_in_node(node, MustNotBeLent, found)) return true;
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), AsWalker(FindLent), found, 0);
  return expression_tree_walker(node, AsWalker(FindLent), found);
}

// The stored expression of an object that sessions evaluate; null: it has none.
char* StoredText(Oid catalog, Oid index, AttrNumber oid_column, Oid object, AttrNumber text_column) {
  char* stored = nullptr;
  TakeColumn(catalog, index, oid_column, object, text_column, [&](Datum value) { stored = TextDatumGetCString(value); });
  return stored;
}

char* ExpressionOf(const ObjectAddress& object) {
  switch (object.classId) {
    case AttrDefaultRelationId:
      return StoredText(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, object.objectId,
                        Anum_pg_attrdef_adbin);
    case RewriteRelationId:
      return StoredText(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, object.objectId,
                        Anum_pg_rewrite_ev_action);
    case TriggerRelationId:
      return StoredText(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object.objectId, Anum_pg_trigger_tgqual);
    case TypeRelationId:
      return StoredText(TypeRelationId, TypeOidIndexId, Anum_pg_type_oid, object.objectId, Anum_pg_type_typdefaultbin);
    default:
      return nullptr;
  }
}

bool ShowsNumbers(Oid function, void* found) {
  if (ShowsCatalogNumbers(function)) *static_cast<Oid*>(found) = function;
  return OidIsValid(*static_cast<Oid*>(found));
}

bool FindNumbers(Node* node, void* found) {
  if (node == nullptr) return false;
  return check_functions_in_node(node, ShowsNumbers, found) || expression_tree_walker(node, AsWalker(FindNumbers), found);
}

[[noreturn]] void RaiseReference(const char* what) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s cannot make a reference to an object out of a number", what),
                  errdetail("Objects have other numbers in the catalogs of other members."),
                  errhint("Name the object, as in 'english'::regconfig.")));
  pg_unreachable();
}

// Of a CHECK, a generated column or another default.
void CheckShowsNoNumbers(const char* text, const char* what) {
  Oid function = InvalidOid;
  if (MakesReference(static_cast<Node*>(stringToNode(text)), nullptr)) RaiseReference(what);
  if (!FindNumbers(static_cast<Node*>(stringToNode(text)), &function)) return;
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s cannot call function %s", what, get_func_name(function)),
                  errdetail("It gives the numbers that this member's catalogs have for types and labels; those of others differ."),
                  errhint("Convert the value to text.")));
}

bool IsEnum(Oid type) { return get_typtype(type) == TYPTYPE_ENUM; }

void CheckCheck(HeapTuple tuple, const char* name) {
  bool is_null = true;
  Datum const binary = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conbin, &is_null);
  if (!is_null) CheckShowsNoNumbers(TextDatumGetCString(binary), psprintf("check constraint \"%s\"", name));
  if (is_null || !contain_mutable_functions(static_cast<Node*>(stringToNode(TextDatumGetCString(binary))))) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                  errmsg("check constraint \"%s\" uses functions that are not immutable", name),
                  errdetail("Members would judge the same row differently: by the time, the session or its settings."),
                  errhint("Use immutable functions, or check it in a trigger.")));
}

void CheckForeignKey(HeapTuple tuple, const char* name) {
  int count, set_count;
  AttrNumber columns[INDEX_MAX_KEYS], referenced[INDEX_MAX_KEYS], set_columns[INDEX_MAX_KEYS];
  Oid across[INDEX_MAX_KEYS], parents[INDEX_MAX_KEYS], children[INDEX_MAX_KEYS];
  DeconstructFkConstraintRow(tuple, &count, columns, referenced, across, parents, children, &set_count, set_columns);
  for (int i = 0; i < count; i++) {
    if (op_volatile(across[i]) == PROVOLATILE_IMMUTABLE) continue;
    ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                    errmsg("foreign key constraint \"%s\" compares by an operator that is not immutable", name),
                    errdetail("Members would judge the same row differently: by the session's time zone or other settings."),
                    errhint("Give both columns the same type.")));
  }
}

}  // namespace

bool IsMadeReference(Node* node) {
  return (IsA(node, RelabelType) || IsA(node, ArrayCoerceExpr)) && HoldsObjectReference(exprType(node));
}

bool MakesReference(Node* node, void* context) {
  if (node == nullptr) return false;
  return IsMadeReference(node) || expression_tree_walker(node, AsWalker(MakesReference), context);
}

// As they are stored: the relation's cache has them simplified.
void CheckIndexExpressions(Oid relation) {
  HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return;
  for (AttrNumber const column : {Anum_pg_index_indexprs, Anum_pg_index_indpred}) {
    bool is_null;
    Datum const stored = SysCacheGetAttr(INDEXRELID, tuple, column, &is_null);
    if (!is_null && MakesReference(static_cast<Node*>(stringToNode(TextDatumGetCString(stored))), nullptr))
      RaiseReference(psprintf("index \"%s\"", get_rel_name(relation)));
  }
  ReleaseSysCache(tuple);
}

void CheckConstraintIsImmutable(Oid constraint) {
  HeapTuple const tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
  if (!HeapTupleIsValid(tuple)) return;
  auto* const form = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
  char* const name = pstrdup(NameStr(form->conname));
  if (form->contype == CONSTRAINT_CHECK) CheckCheck(tuple, name);
  if (form->contype == CONSTRAINT_FOREIGN) CheckForeignKey(tuple, name);
  ReleaseSysCache(tuple);
}

void CheckPartitionKey(Oid relation) {
  if (get_rel_relkind(relation) != RELKIND_PARTITIONED_TABLE) return;
  Relation const table = table_open(relation, AccessShareLock);
  PartitionKey const key = RelationGetPartitionKey(table);
  for (int i = 0; key->strategy == PARTITION_STRATEGY_HASH && i < key->partnatts; i++)
    if (AnyPart(key->parttypid[i], IsEnum))
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("cannot partition table \"%s\" by hash of an enum", RelationGetRelationName(table)),
                      errdetail("Labels have other numbers on each member: a row would belong into another partition there."),
                      errhint("Use PARTITION BY LIST, or the hash of another column.")));
  table_close(table, AccessShareLock);
}

void CheckFunctionsMayBeLent(const ObjectAddress& object) {
  const char* const text = ExpressionOf(object);
  Oid function = InvalidOid;
  if (text != nullptr && object.classId == AttrDefaultRelationId) CheckShowsNoNumbers(text, getObjectDescription(&object, false));
  if (text == nullptr || !FindLent(static_cast<Node*>(stringToNode(text)), &function)) return;
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("%s cannot call function %s", getObjectDescription(&object, false), get_func_name(function)),
                  errdetail("It would run on every member, with the rights of whoever writes or reads there."),
                  errhint("Call it in the statement that needs it.")));
}

}  // namespace dadbs::pg::ddl
