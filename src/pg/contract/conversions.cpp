/*
 * conversions.cpp: values that PL/pgSQL converts by itself, where a variable, a row or a result has another type than the query that
 * fills it. No plan shows that (nesting.cpp), so a contract has to write the cast where json, or what is made of it, is the target.
 *
 * Asked when a query is planned, which happens while the statement runs that it belongs to: of the innermost function of PL/pgSQL
 * we know the statement, and find the query in it by its text. Assignments are coerced by the parser, in the query itself, but for
 * rows. Plans stay, on one member longer than on another, so the answer follows from declarations and from the types in the plan: a
 * plan does not fit a record that holds others meanwhile (FailedForAnOldPlan()).
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "plpgsql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg::contract {
namespace {

PLpgSQL_execstate* innermost = nullptr;  // the others are found through plugin_info

// What reads its text level by level.
bool IsNested(Oid type) { return type == JSONOID || type == JSONBOID || type == JSONPATHOID || type == TSQUERYOID; }

bool CheckIfDomain(Oid type) {
  if (get_typtype(type) == TYPTYPE_DOMAIN) CheckDomainNesting(type);
  return false;
}

// `to` is not valid for what a trigger returns: nobody takes it.
void CheckConversion(Oid from, Oid to) {
  if (!OidIsValid(from) || !OidIsValid(to) || from == to) return;
  (void)AnyPart(to, CheckIfDomain);
  if (getBaseType(from) == getBaseType(to) || !AnyPart(to, IsNested)) return;
  RaiseForbidden(psprintf("make a value of type %s out of one of type %s without a cast", format_type_be(to), format_type_be(from)),
                 "Write the cast in the query or expression.");
}

// The types of the columns that a query returns; invalid for a literal, which is its author's.
struct Columns {
  List* types;
  Oid At(int i) const { return i < list_length(types) ? list_nth_oid(types, i) : InvalidOid; }
};

Columns ColumnsOf(const Query* query) {
  List* const targets = query->commandType == CMD_SELECT ? query->targetList : query->returningList;
  Columns columns = {NIL};
  ListCell* cell;
  foreach (cell, targets) {
    auto* const target = lfirst_node(TargetEntry, cell);
    if (target->resjunk) continue;
    columns.types = lappend_oid(columns.types, IsA(target->expr, Const) ? InvalidOid : exprType(reinterpret_cast<Node*>(target->expr)));
  }
  return columns;
}

void CheckOne(PLpgSQL_execstate* estate, Oid from, int datum_number);

// A row type's columns, from the first on.
void CheckRowType(const Columns& columns, Oid row) {
  if (row == RECORDOID || !AnyPart(row, IsNested)) return;
  if (list_length(columns.types) == 1 && (!OidIsValid(columns.At(0)) || getBaseType(columns.At(0)) == getBaseType(row))) return;
  TupleDesc const wanted = lookup_rowtype_tupdesc_domain(row, -1, false);
  for (int i = 0, at = 0; i < wanted->natts; i++) {
    if (TupleDescAttr(wanted, i)->attisdropped) continue;
    CheckConversion(columns.At(at++), TupleDescAttr(wanted, i)->atttypid);
  }
  ReleaseTupleDesc(wanted);
}

// By its declaration: what a variable of type record holds at the moment decides nothing.
Oid TypeOfField(PLpgSQL_execstate* estate, const PLpgSQL_recfield* field) {
  Oid const row = reinterpret_cast<PLpgSQL_rec*>(estate->datums[field->recparentno])->rectypeid;
  if (row == RECORDOID) RaiseForbidden(psprintf("put the result of a query into field \"%s\" of a variable of type record", field->fieldname), "Assign it.");
  Oid const relation = get_typ_typrelid(getBaseType(row));
  AttrNumber const column = get_attnum(relation, field->fieldname);
  return column > 0 ? get_atttype(relation, column) : InvalidOid;
}

bool IsNestedTarget(PLpgSQL_execstate* estate, const PLpgSQL_datum* target);

[[noreturn]] void RaiseNestedTarget() {
  RaiseForbidden("take rows apart into variables that hold json, jsonpath or tsquery", "Take them into a variable of type record.");
}

void CheckTarget(PLpgSQL_execstate* estate, const Columns& columns, const PLpgSQL_datum* target) {
  switch (target->dtype) {
    case PLPGSQL_DTYPE_REC: return CheckRowType(columns, reinterpret_cast<const PLpgSQL_rec*>(target)->rectypeid);
    case PLPGSQL_DTYPE_ROW: {
      auto* const row = reinterpret_cast<const PLpgSQL_row*>(target);
      for (int i = 0; i < row->nfields; i++) CheckOne(estate, columns.At(i), row->varnos[i]);
      return;
    }
    default: return CheckOne(estate, columns.At(0), target->dno);
  }
}

void CheckOne(PLpgSQL_execstate* estate, Oid from, int datum_number) {
  const PLpgSQL_datum* const datum = estate->datums[datum_number];
  switch (datum->dtype) {
    case PLPGSQL_DTYPE_VAR:
    case PLPGSQL_DTYPE_PROMISE: return CheckConversion(from, reinterpret_cast<const PLpgSQL_var*>(datum)->datatype->typoid);
    case PLPGSQL_DTYPE_RECFIELD: {
      Oid const to = TypeOfField(estate, reinterpret_cast<const PLpgSQL_recfield*>(datum));
      if (OidIsValid(to)) CheckConversion(from, to);
      return;
    }
    case PLPGSQL_DTYPE_ROW:
      if (IsNestedTarget(estate, datum)) RaiseNestedTarget();
      return;
    case PLPGSQL_DTYPE_REC: {
      Columns one = {list_make1_oid(from)};
      return CheckTarget(estate, one, datum);
    }
    default: return;
  }
}

// ---- statements

struct Asked {
  PLpgSQL_execstate* estate;
  const char* text;
  Columns columns;
  bool Is(const PLpgSQL_expr* expression) const { return expression != nullptr && strcmp(expression->query, text) == 0; }
};

void CheckDefaults(const Asked& asked, const PLpgSQL_stmt_block* block) {
  for (int i = 0; i < block->n_initvars; i++) {
    const PLpgSQL_datum* const datum = asked.estate->datums[block->initvarnos[i]];
    const PLpgSQL_expr* const value = datum->dtype == PLPGSQL_DTYPE_VAR   ? reinterpret_cast<const PLpgSQL_var*>(datum)->default_val
                                      : datum->dtype == PLPGSQL_DTYPE_REC ? reinterpret_cast<const PLpgSQL_rec*>(datum)->default_val
                                                                          : nullptr;
    if (asked.Is(value)) CheckTarget(asked.estate, asked.columns, datum);
  }
}

void CheckResult(const Asked& asked, const PLpgSQL_expr* expression) {
  Oid const result = asked.estate->func->fn_rettype;
  if (asked.Is(expression) && !type_is_rowtype(result)) CheckConversion(asked.columns.At(0), result);  // rows must have equal types
}

void CheckElements(const Asked& asked, const PLpgSQL_stmt_foreach_a* loop) {
  if (!asked.Is(loop->expr) || !OidIsValid(asked.columns.At(0))) return;
  Oid const array = getBaseType(asked.columns.At(0));
  CheckOne(asked.estate, loop->slice > 0 ? array : get_element_type(array), loop->varno);
}

// The arguments of a cursor are variables.
void CheckCursor(const Asked& asked, int cursor, const PLpgSQL_expr* arguments) {
  auto* const variable = reinterpret_cast<const PLpgSQL_var*>(asked.estate->datums[cursor]);
  if (asked.Is(arguments) && variable->cursor_explicit_argrow >= 0)
    CheckTarget(asked.estate, asked.columns, asked.estate->datums[variable->cursor_explicit_argrow]);
}

// The parser coerces what is assigned, but for rows.
void CheckAssignment(const Asked& asked, const PLpgSQL_stmt_assign* assignment) {
  const PLpgSQL_datum* const target = asked.estate->datums[assignment->varno];
  if (!asked.Is(assignment->expr) || target->dtype != PLPGSQL_DTYPE_REC) return;
  Oid const to = reinterpret_cast<const PLpgSQL_rec*>(target)->rectypeid;
  Oid const from = asked.columns.At(0);
  if (to == RECORDOID || !OidIsValid(from) || from == to) return;
  (void)AnyPart(to, CheckIfDomain);
  if (AnyPart(to, IsNested))
    RaiseForbidden(psprintf("make a row of type %s out of one of type %s without a cast", format_type_be(to), format_type_be(from)),
                   "Write the cast, as in ROW(...)::type.");
}

void CheckStatement(const Asked& asked, const PLpgSQL_stmt* statement) {
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_ASSIGN: return CheckAssignment(asked, reinterpret_cast<const PLpgSQL_stmt_assign*>(statement));
    case PLPGSQL_STMT_BLOCK: return CheckDefaults(asked, reinterpret_cast<const PLpgSQL_stmt_block*>(statement));
    case PLPGSQL_STMT_EXECSQL: {
      auto* const sql = reinterpret_cast<const PLpgSQL_stmt_execsql*>(statement);
      if (sql->into && asked.Is(sql->sqlstmt)) CheckTarget(asked.estate, asked.columns, reinterpret_cast<PLpgSQL_datum*>(sql->target));
      return;
    }
    case PLPGSQL_STMT_FORS: {
      auto* const loop = reinterpret_cast<const PLpgSQL_stmt_fors*>(statement);
      if (asked.Is(loop->query)) CheckTarget(asked.estate, asked.columns, reinterpret_cast<PLpgSQL_datum*>(loop->var));
      return;
    }
    case PLPGSQL_STMT_FOREACH_A: return CheckElements(asked, reinterpret_cast<const PLpgSQL_stmt_foreach_a*>(statement));
    case PLPGSQL_STMT_RETURN: return CheckResult(asked, reinterpret_cast<const PLpgSQL_stmt_return*>(statement)->expr);
    case PLPGSQL_STMT_RETURN_NEXT: return CheckResult(asked, reinterpret_cast<const PLpgSQL_stmt_return_next*>(statement)->expr);
    case PLPGSQL_STMT_OPEN: {
      auto* const open = reinterpret_cast<const PLpgSQL_stmt_open*>(statement);
      return CheckCursor(asked, open->curvar, open->argquery);
    }
    case PLPGSQL_STMT_FORC: {
      auto* const loop = reinterpret_cast<const PLpgSQL_stmt_forc*>(statement);
      return CheckCursor(asked, loop->curvar, loop->argquery);
    }
    default: return;
  }
}

bool IsNestedTarget(PLpgSQL_execstate* estate, const PLpgSQL_datum* target) {
  switch (target->dtype) {
    case PLPGSQL_DTYPE_VAR: return AnyPart(reinterpret_cast<const PLpgSQL_var*>(target)->datatype->typoid, IsNested);
    case PLPGSQL_DTYPE_REC: return AnyPart(reinterpret_cast<const PLpgSQL_rec*>(target)->rectypeid, IsNested);
    case PLPGSQL_DTYPE_ROW: {
      auto* const row = reinterpret_cast<const PLpgSQL_row*>(target);
      for (int i = 0; i < row->nfields; i++)
        if (IsNestedTarget(estate, estate->datums[row->varnos[i]])) return true;
      return false;
    }
    case PLPGSQL_DTYPE_RECFIELD: {
      Oid const type = TypeOfField(estate, reinterpret_cast<const PLpgSQL_recfield*>(target));
      return OidIsValid(type) && AnyPart(type, IsNested);
    }
    default: return false;
  }
}

// The query of a cursor was planned elsewhere.
void RefuseNestedTarget(PLpgSQL_execstate* estate, PLpgSQL_variable* target) {
  if (target != nullptr && IsNestedTarget(estate, reinterpret_cast<PLpgSQL_datum*>(target))) RaiseNestedTarget();
}

// RETURN and RETURN NEXT of a variable need no plan.
void CheckReturned(PLpgSQL_execstate* estate, const PLpgSQL_expr* expression, int variable) {
  if (expression != nullptr || variable < 0) return;
  const PLpgSQL_datum* const datum = estate->datums[variable];
  if (datum->dtype != PLPGSQL_DTYPE_VAR && datum->dtype != PLPGSQL_DTYPE_PROMISE) return;  // rows must have equal types
  CheckConversion(reinterpret_cast<const PLpgSQL_var*>(datum)->datatype->typoid, estate->func->fn_rettype);
}

}  // namespace

void EnterFunction(PLpgSQL_execstate* estate) {
  estate->plugin_info = innermost;
  innermost = estate;
}

void LeaveFunction(PLpgSQL_execstate* estate) { innermost = static_cast<PLpgSQL_execstate*>(estate->plugin_info); }

void ForgetFunctions() noexcept { innermost = nullptr; }

void CheckVariablesOf(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement) {
  if (statement->cmd_type == PLPGSQL_STMT_RETURN) {
    auto* const result = reinterpret_cast<const PLpgSQL_stmt_return*>(statement);
    return CheckReturned(estate, result->expr, result->retvarno);
  }
  if (statement->cmd_type == PLPGSQL_STMT_RETURN_NEXT) {
    auto* const result = reinterpret_cast<const PLpgSQL_stmt_return_next*>(statement);
    return CheckReturned(estate, result->expr, result->retvarno);
  }
  if (statement->cmd_type == PLPGSQL_STMT_FETCH) RefuseNestedTarget(estate, reinterpret_cast<const PLpgSQL_stmt_fetch*>(statement)->target);
  if (statement->cmd_type == PLPGSQL_STMT_FORC) RefuseNestedTarget(estate, reinterpret_cast<const PLpgSQL_stmt_forc*>(statement)->var);
}

void CheckConversionsOf(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement, const Query* query, const char* text) {
  CheckStatement({estate, text, ColumnsOf(query)}, statement);
}

void CheckConversions(const Query* query, const char* text) {
  if (innermost == nullptr || innermost->err_stmt == nullptr || text == nullptr) return;
  CheckConversionsOf(innermost, innermost->err_stmt, query, text);
}

}  // namespace dadbs::pg::contract
