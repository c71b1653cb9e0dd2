/*
 * types.cpp: values that mean something on one member only, which no contract may hold: numbers of catalogs and transactions, names
 * of portals, types that are not shared. A type is looked into: its elements, columns, bounds, what its domain stands on.
 *
 * Asked of expressions when they are planned, and of the variables of a PL/pgSQL function when it is called: an assignment
 * converts to the variable's type without a plan ('name' to regclass, regclass[] to oid[]).
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "plpgsql.h"
#include "utils/builtins.h"
#include "utils/expandedrecord.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::contract {
namespace {

constexpr char kHint[] = "They differ between members. Use names, and built-in and shared types.";

bool IsLocal(Oid type) {
  switch (type) {
    case OIDOID:
    case XIDOID:
    case XID8OID:
    case CIDOID:
    case TIDOID:
    case ACLITEMOID: return true;
    default: break;
  }
  if (IsObjectReference(type)) return true;
  if (type < FirstNormalObjectId || OidIsValid(get_element_type(type))) return false;  // of an array the element is asked
  ObjectAddress address;
  ObjectAddressSet(address, TypeRelationId, type);
  return !IsSharedObject(address);
}

// A field of NEW or OLD: its type is the table's.
void CheckField(PLpgSQL_execstate* estate, const PLpgSQL_recfield* field) {
  auto* const record = reinterpret_cast<PLpgSQL_rec*>(estate->datums[field->recparentno]);
  ExpandedRecordFieldInfo info;
  if (record->erh != nullptr && expanded_record_lookup_field(record->erh, field->fieldname, &info)) CheckTypeItself(info.ftypeid);
}

}  // namespace

void CheckTypeItself(Oid type) {
  if (AnyPart(type, IsLocal)) RaiseForbidden(psprintf("use values of type %s", format_type_be(type)), kHint);
}

void CheckType(Node* node) {
  switch (nodeTag(node)) {
    case T_Var:
    case T_Const:
    case T_Param:
    case T_FuncExpr:
    case T_RelabelType:
    case T_CoerceViaIO:
    case T_ArrayCoerceExpr:
    case T_CoerceToDomain:
    case T_ConvertRowtypeExpr:
    case T_FieldSelect:
    case T_SubscriptingRef: break;
    default: return;
  }
  Oid const type = exprType(node);
  CheckTypeItself(type);
  // The name of a portal counts what this process has opened. FETCH and the like need no expression.
  if (type == REFCURSOROID) RaiseForbidden("use the name of a cursor", kHint);
}

void CheckColumnTypes(const RangeTblFunction* function) {
  ListCell* cell;
  foreach (cell, function->funccoltypes) CheckTypeItself(lfirst_oid(cell));
}

void CheckVariables(PLpgSQL_execstate* estate) {
  for (int i = 0; i < estate->ndatums; i++) {
    const PLpgSQL_datum* const datum = estate->datums[i];
    switch (datum->dtype) {
      case PLPGSQL_DTYPE_VAR: CheckTypeItself(reinterpret_cast<const PLpgSQL_var*>(datum)->datatype->typoid); break;
      case PLPGSQL_DTYPE_REC: CheckTypeItself(reinterpret_cast<const PLpgSQL_rec*>(datum)->rectypeid); break;
      case PLPGSQL_DTYPE_RECFIELD: CheckField(estate, reinterpret_cast<const PLpgSQL_recfield*>(datum)); break;
      default: break;  // TG_RELID and its kin are asked when they are used
    }
  }
}

}  // namespace dadbs::pg::contract
