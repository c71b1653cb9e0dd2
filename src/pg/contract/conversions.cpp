/*
 * conversions.cpp: values that PL/pgSQL converts by itself, where a variable, a row or a result has another type than the query that
 * fills it. No plan shows that (nesting.cpp), so a contract has to write the cast where json, or what is made of it, is the target.
 *
 * Asked when a query is planned, which happens while the statement runs that it belongs to: of the innermost function of PL/pgSQL
 * we know the statement, and find the query in it by its text. Assignments are coerced by the parser, in the query itself.
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "plpgsql.h"
#include "utils/builtins.h"
#include "utils/expandedrecord.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg::contract {
namespace {

PLpgSQL_execstate* innermost = nullptr;  // the others are found through plugin_info

// What reads its text level by level.
bool IsNested(Oid type) { return type == JSONOID || type == JSONBOID || type == JSONPATHOID || type == TSQUERYOID; }

void CheckConversion(Oid from, Oid to) {
  if (!OidIsValid(from) || getBaseType(from) == getBaseType(to) || !AnyPart(to, IsNested)) return;
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

void CheckField(PLpgSQL_execstate* estate, Oid from, const PLpgSQL_recfield* field) {
  auto* const record = reinterpret_cast<PLpgSQL_rec*>(estate->datums[field->recparentno]);
  ExpandedRecordFieldInfo info;
  if (record->erh != nullptr && expanded_record_lookup_field(record->erh, field->fieldname, &info)) CheckConversion(from, info.ftypeid);
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
    case PLPGSQL_DTYPE_RECFIELD: return CheckField(estate, from, reinterpret_cast<const PLpgSQL_recfield*>(datum));
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
  if (asked.Is(expression)) CheckConversion(asked.columns.At(0), asked.estate->func->fn_rettype);
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

void CheckStatement(const Asked& asked, const PLpgSQL_stmt* statement) {
  switch (statement->cmd_type) {
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
    default: return false;
  }
}

// The query of a cursor was planned elsewhere.
void RefuseNestedTarget(PLpgSQL_execstate* estate, PLpgSQL_variable* target) {
  if (target != nullptr && IsNestedTarget(estate, reinterpret_cast<PLpgSQL_datum*>(target)))
    RaiseForbidden("fetch from a cursor into a variable that holds json, jsonpath or tsquery", "Fetch into a variable of type record.");
}

}  // namespace

void EnterFunction(PLpgSQL_execstate* estate) {
  estate->plugin_info = innermost;
  innermost = estate;
}

void LeaveFunction(PLpgSQL_execstate* estate) { innermost = static_cast<PLpgSQL_execstate*>(estate->plugin_info); }

void ForgetFunctions() noexcept { innermost = nullptr; }

void CheckFetch(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement) {
  if (statement->cmd_type == PLPGSQL_STMT_FETCH) RefuseNestedTarget(estate, reinterpret_cast<const PLpgSQL_stmt_fetch*>(statement)->target);
  if (statement->cmd_type == PLPGSQL_STMT_FORC) RefuseNestedTarget(estate, reinterpret_cast<const PLpgSQL_stmt_forc*>(statement)->var);
}

void CheckConversions(const Query* query, const char* text) {
  if (innermost == nullptr || innermost->err_stmt == nullptr || text == nullptr) return;
  CheckStatement({innermost, text, ColumnsOf(query)}, innermost->err_stmt);
}

}  // namespace dadbs::pg::contract
