/*
 * sharing_expressions.cpp: may the origin's session decide about rows of this table, or only the apply worker?
 *
 * On the fast path the session's own checks stand for everybody's. That holds only if an expression gives the same in
 * the session (its settings, its snapshot, its role) and in the apply worker. Known to be so: the functions of core
 * that are declared immutable and don't depend on a setting in truth. For anything else (user-defined functions,
 * extensions) the transaction is replayed at the origin too, so that there is one way to its verdict (hazards H1,
 * H17, H38).
 *
 * Domains have two more doors (H37): Postgres doesn't check a value that already has the domain's type. A NULL of a
 * NOT NULL domain (from an outer join) or an old value under a NOT VALID check passes in the session and would fail
 * when applied. Such tables are replayed as well. So are tables with columns of regclass and its kin: what such a
 * value names may be known here only, and the apply worker takes built-in objects alone (row_values.cpp).
 */
#include "sharing_expressions.h"

#include <initializer_list>

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg {
namespace {

bool HasUnsafeDomain(Oid type);

// Is some part of the type `wanted`? Parts are elements, columns, subtypes and base types.

// Declared immutable, but what they give depends on extra_float_digits, bytea_output, quote_all_identifiers, TimeZone or
// timezone_abbreviations.
bool DependsOnSettings(Oid function) {
  switch (function) {
    case F_FLOAT4OUT:
    case F_FLOAT8OUT:
    case F_BYTEAOUT:
    case F_POINT_OUT:
    case F_LSEG_OUT:
    case F_PATH_OUT:
    case F_BOX_OUT:
    case F_POLY_OUT:
    case F_LINE_OUT:
    case F_CIRCLE_OUT:
    case F_QUOTE_IDENT:
    case F_AGE_TIMESTAMPTZ_TIMESTAMPTZ:
    case F_TIMEZONE_TEXT_TIMESTAMP:
    case F_TIMEZONE_TEXT_TIMESTAMPTZ: return true;
    default: return false;
  }
}

bool IsUnsafeFunction(Oid function, void*) {
  return function >= FirstUnpinnedObjectId || func_volatile(function) != PROVOLATILE_IMMUTABLE ||
         DependsOnSettings(function);
}

bool IsUnsafe(Node* node, void* context) {
  if (node == nullptr) return false;
  switch (nodeTag(node)) {
    case T_SQLValueFunction:
    case T_NextValueExpr:
    case T_XmlExpr:
    case T_SubLink:
    case T_SubPlan:
    case T_Query: return true;
    case T_CoerceToDomain:
      if (HasUnsafeDomain(reinterpret_cast<CoerceToDomain*>(node)->resulttype)) return true;
      break;
    default:
      if (check_functions_in_node(node, IsUnsafeFunction, context)) return true;
  }
  // The walker's type is that of a C function without a prototype.
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(IsUnsafe)), context);
}

bool IsUnsafeText(const char* text) {
  return text != nullptr && IsUnsafe(static_cast<Node*>(stringToNode(text)), nullptr);
}

bool HasUnsafeDomainConstraint(Oid domain) {
  Relation const catalog = table_open(ConstraintRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(domain));
  SysScanDesc const scan = systable_beginscan(catalog, ConstraintTypidIndexId, true, nullptr, 1, &key);
  bool found = false;
  for (HeapTuple tuple; !found && HeapTupleIsValid(tuple = systable_getnext(scan));) {
    bool isnull;
    Datum const source = heap_getattr(tuple, Anum_pg_constraint_conbin, RelationGetDescr(catalog), &isnull);
    found = !reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->convalidated || isnull ||
            IsUnsafeText(TextDatumGetCString(source));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return found;
}

bool AnyColumn(Oid composite, bool (*wanted)(Oid)) {
  TupleDesc const columns = lookup_rowtype_tupdesc(composite, -1);
  bool found = false;
  for (int i = 0; !found && i < columns->natts; i++)
    if (!TupleDescAttr(columns, i)->attisdropped) found = AnyPart(TupleDescAttr(columns, i)->atttypid, wanted);
  ReleaseTupleDesc(columns);
  return found;
}

bool IsUnsafeDomain(Oid type) {
  HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_type const form = *reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  return form.typtype == TYPTYPE_DOMAIN && (form.typnotnull || HasUnsafeDomainConstraint(type));
}

bool HasUnsafeDomain(Oid type) { return AnyPart(type, IsUnsafeDomain); }

bool IsReference(Oid type) { return IsObjectReference(type) || IsOfOneMember(type); }

bool IsUnsafeType(Oid type) { return IsReference(type) || IsUnsafeDomain(type); }

bool HasUnsafeColumn(Relation relation) {
  TupleDesc const columns = RelationGetDescr(relation);
  for (int i = 0; i < columns->natts; i++)
    if (!TupleDescAttr(columns, i)->attisdropped && AnyPart(TupleDescAttr(columns, i)->atttypid, IsUnsafeType))
      return true;
  const TupleConstr* const constraints = columns->constr;
  if (constraints == nullptr) return false;
  for (int i = 0; i < constraints->num_check; i++)
    if (IsUnsafeText(constraints->check[i].ccbin)) return true;
  for (int i = 0; constraints->has_generated_stored && i < constraints->num_defval; i++)
    if (TupleDescAttr(columns, constraints->defval[i].adnum - 1)->attgenerated != '\0' &&
        IsUnsafeText(constraints->defval[i].adbin))
      return true;
  return false;
}

bool HasUnsafeIndexText(HeapTuple index, AttrNumber column) {
  bool isnull;
  Datum const source = SysCacheGetAttr(INDEXRELID, index, column, &isnull);
  return !isnull && IsUnsafeText(TextDatumGetCString(source));
}

bool HasUnsafeIndex(Relation relation) {
  List* const indexes = RelationGetIndexList(relation);
  bool found = false;
  ListCell* cell;
  foreach (cell, indexes) {
    HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
    if (!HeapTupleIsValid(tuple)) continue;
    found =
        found || HasUnsafeIndexText(tuple, Anum_pg_index_indexprs) || HasUnsafeIndexText(tuple, Anum_pg_index_indpred);
    ReleaseSysCache(tuple);
  }
  list_free(indexes);
  return found;
}

// Columns of different types may be compared by what depends on a setting: date = timestamptz on the time zone. Refused
// when it is defined; here because a database may have had it before.
bool HasUnsafeForeignKey(Relation relation) {
  ListCell* cell;
  List* const keys = static_cast<List*>(copyObjectImpl(RelationGetFKeyList(relation)));  // the cache may free its own meanwhile
  foreach (cell, keys) {
    const auto* const key = lfirst_node(ForeignKeyCacheInfo, cell);
    for (int i = 0; i < key->nkeys; i++)
      if (op_volatile(key->conpfeqop[i]) != PROVOLATILE_IMMUTABLE) return true;
  }
  return false;
}

}  // namespace

bool AnyPart(Oid type, bool (*wanted)(Oid)) {
  check_stack_depth();
  if (wanted(type)) return true;
  if (Oid const element = get_element_type(type); OidIsValid(element)) return AnyPart(element, wanted);
  HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_type const form = *reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  switch (form.typtype) {
    case TYPTYPE_DOMAIN: return AnyPart(form.typbasetype, wanted);
    case TYPTYPE_COMPOSITE: return AnyColumn(type, wanted);
    case TYPTYPE_RANGE: return AnyPart(get_range_subtype(type), wanted);
    case TYPTYPE_MULTIRANGE: return AnyPart(get_multirange_range(type), wanted);
    default: return false;
  }
}

bool IsObjectReference(Oid type) {
  switch (type) {
    case REGPROCOID:
    case REGPROCEDUREOID:
    case REGOPEROID:
    case REGOPERATOROID:
    case REGCLASSOID:
    case REGTYPEOID:
    case REGROLEOID:
    case REGNAMESPACEOID:
    case REGCONFIGOID:
    case REGDICTIONARYOID:
    case REGCOLLATIONOID: return true;
    default: return false;
  }
}

bool IsOfOneMember(Oid type) {
  switch (type) {
    case ACLITEMOID:
    case PG_NODE_TREEOID:
    case PG_NDISTINCTOID:
    case PG_DEPENDENCIESOID:
    case PG_MCV_LISTOID:
    case PG_BRIN_BLOOM_SUMMARYOID:
    case PG_BRIN_MINMAX_MULTI_SUMMARYOID:
    case GTSVECTOROID: return true;
    default: return false;
  }
}

// hashenum, hash_array, hash_record, hash_range; array_send tells the type of the elements.
bool ShowsCatalogNumbers(Oid function) {
  if (function >= FirstUnpinnedObjectId) return false;
  const char* const name = get_func_name(function);
  if (name == nullptr) return false;
  if (strncmp(name, "hash_", 5) == 0) return strncmp(name, "hash_numeric", 12) != 0;
  if (strncmp(name, "hashenum", 8) == 0) return true;
  for (const char* exact : {"array_send", "record_send", "anyarray_send", "anycompatiblearray_send", "range_send", "multirange_send"})
    if (strcmp(name, exact) == 0) return true;
  return false;
}

bool HoldsObjectReference(Oid type) { return AnyPart(type, IsReference); }

bool IsPartial(Relation index) { return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr); }
bool HasExpressions(Relation index) { return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, nullptr); }

bool HasUnsafeExpressions(Relation relation) {
  return HasUnsafeColumn(relation) || HasUnsafeIndex(relation) || HasUnsafeForeignKey(relation) ||
         (relation->rd_rel->relispartition &&
          IsUnsafe(reinterpret_cast<Node*>(RelationGetPartitionQual(relation)), nullptr));
}

}  // namespace dadbs::pg
