/*
 * rewrite.cpp: ALTER TABLE that fills existing rows must fill them alike on every member (H35).
 *
 * Each member executes the statement on its own rows, so what it computes must follow from the rows alone: immutable
 * functions, the time (fixed at the position, R4), and conversions that depend on nothing but the settings that travel with
 * the statement. Anything else (random(), gen_random_uuid(), txid_current(), nextval(), current_user) is refused on tables that
 * hold rows; on empty ones there is nothing to fill, and later rows arrive with their values. So must the bounds of partitions be computed.
 */
#include "internal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg::ddl {

Relation OpenLookedUp(Oid relation) {
  Relation const opened = try_table_open(relation, AccessShareLock);
  if (opened == nullptr)
    ereport(ERROR, (errcode(kErrConflict), errmsg("a table was dropped while its definition was being changed"),
                    errdetail("A concurrent transaction of the group dropped it."), errhint("Retry the transaction.")));
  return opened;
}

namespace {

bool HoldsRows(Oid relation_id) {
  Relation relation = OpenLookedUp(relation_id);
  bool holds = false;
  if (relation->rd_rel->relkind == RELKIND_RELATION) {
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
    TupleTableSlot* slot = table_slot_create(relation, nullptr);
    holds = table_scan_getnextslot(scan, ForwardScanDirection, slot);
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
  }
  table_close(relation, NoLock);
  return holds;
}

bool FamilyHoldsRows(Oid relation) {
  ListCell* cell;
  foreach (cell, find_all_inheritors(relation, AccessShareLock, nullptr))
    if (HoldsRows(lfirst_oid(cell))) return true;
  return false;
}

// Stable functions that depend on the position's time or on settings that travel, and on nothing else.
bool IsFixedAtPosition(Oid function) {
  if (get_func_namespace(function) != PG_CATALOG_NAMESPACE) return false;
  const char* name = get_func_name(function);
  for (const char* known :
       {"now", "transaction_timestamp", "statement_timestamp", "date", "time", "timetz", "timestamp", "timestamptz",
        "timezone", "date_part", "extract", "date_trunc", "to_char", "to_timestamp", "to_date", "date_in", "date_out", "time_in",
        "time_out", "timetz_in", "timetz_out", "timestamp_in", "timestamp_out", "timestamptz_in", "timestamptz_out",
        "interval_in", "interval_out", "timestamptz_pl_interval", "timestamptz_mi_interval", "date_cmp_timestamptz"})
    if (strcmp(name, known) == 0) return true;
  return false;
}

bool IsUnfit(Oid function, void*) {
  return func_volatile(function) != PROVOLATILE_IMMUTABLE && !IsFixedAtPosition(function);
}

bool HasUnfit(Node* node, void* context) {
  if (node == nullptr) return false;
  if (check_functions_in_node(node, IsUnfit, context)) return true;
  if (IsMadeReference(node)) return true;
  if (IsA(node, NextValueExpr) || IsA(node, SubLink) || IsA(node, Query)) return true;
  if (IsA(node, SQLValueFunction)) {
    SQLValueFunctionOp const op = reinterpret_cast<SQLValueFunction*>(node)->op;
    return op > SVFOP_LOCALTIMESTAMP_N;  // who, not when
  }
  return expression_tree_walker(node, AsWalker(HasUnfit), context);
}

[[noreturn]] void Refuse(const char* column, const char* hint) {
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("column \"%s\" would be filled with values that differ between members", column),
                  errdetail("The table holds rows, and each member would compute their values for itself."), errhint("%s", hint)));
  pg_unreachable();
}

constexpr char kFillHint[] = "Add the column without the default, fill it with UPDATE, then set the default.";

bool IsSerial(const TypeName* type) {
  if (type == nullptr || list_length(type->names) != 1) return false;
  const char* name = strVal(linitial(type->names));
  for (const char* serial : {"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"})
    if (strcmp(name, serial) == 0) return true;
  return false;
}

void CheckAddColumn(const ColumnDef* column) {
  if (IsSerial(column->typeName)) Refuse(column->colname, kFillHint);
  Oid type;
  int32 modifier;
  typenameTypeIdAndMod(nullptr, column->typeName, &type, &modifier);
  Node* expression = column->raw_default;
  ListCell* cell;
  foreach (cell, column->constraints) {
    auto* constraint = lfirst_node(Constraint, cell);
    if (constraint->contype == CONSTR_IDENTITY) Refuse(column->colname, kFillHint);
    if (constraint->contype == CONSTR_GENERATED) return;  // Postgres asks for immutable itself
    if (constraint->contype == CONSTR_DEFAULT) expression = constraint->raw_expr;
  }
  if (expression != nullptr)
    expression = cookDefault(make_parsestate(nullptr), expression, type, modifier, column->colname, '\0');
  else if (get_typtype(type) == TYPTYPE_DOMAIN)
    expression = get_typdefault(type);
  if (HasUnfit(expression, nullptr)) Refuse(column->colname, kFillHint);
}

void CheckAlterType(Oid relation_id, const AlterTableCmd* cmd) {
  auto* column = castNode(ColumnDef, cmd->def);
  AttrNumber const number = get_attnum(relation_id, cmd->name);
  if (number <= 0) return;
  Relation relation = OpenLookedUp(relation_id);
  ParseState* state = make_parsestate(nullptr);
  ParseNamespaceItem* item = addRangeTableEntryForRelation(state, relation, AccessShareLock, nullptr, false, true);
  addNSItemToQuery(state, item, false, true, true);
  Form_pg_attribute const attribute = TupleDescAttr(RelationGetDescr(relation), number - 1);
  Node* expression =
      column->raw_default
          ? transformExpr(state, Copy(column->raw_default), EXPR_KIND_ALTER_COL_TRANSFORM)
          : reinterpret_cast<Node*>(makeVar(1, number, attribute->atttypid, attribute->atttypmod, attribute->attcollation, 0));
  Oid type;
  int32 modifier;
  typenameTypeIdAndMod(state, column->typeName, &type, &modifier);
  expression = coerce_to_target_type(state, expression, exprType(expression), type, modifier, COERCION_ASSIGNMENT,
                                     COERCE_IMPLICIT_CAST, -1);
  table_close(relation, NoLock);
  if (HasUnfit(expression, nullptr))
    Refuse(cmd->name, "Add another column, fill it with UPDATE, then drop this one and rename the other.");
}

// The expressions are computed when the partition is made, by each member.
void CheckBounds(List* values) {
  ListCell* cell;
  foreach (cell, values) {
    auto* const raw = static_cast<Node*>(lfirst(cell));
    if (IsA(raw, ColumnRef)) continue;  // MINVALUE, MAXVALUE
    if (HasUnfit(transformExpr(make_parsestate(nullptr), Copy(raw), EXPR_KIND_PARTITION_BOUND), nullptr))
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("the bounds of a partition would differ between members"),
                      errdetail("Each member would compute them for itself."), errhint("Write constants.")));
  }
}

void CheckBound(const PartitionBoundSpec* bound) {
  if (bound == nullptr) return;
  CheckBounds(bound->listdatums);
  CheckBounds(bound->lowerdatums);
  CheckBounds(bound->upperdatums);
}

}  // namespace

void CheckPartitionBounds(Node* node) {
  if (IsA(node, CreateStmt)) CheckBound(reinterpret_cast<CreateStmt*>(node)->partbound);
  if (!IsA(node, AlterTableStmt)) return;
  ListCell* cell;
  foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds) {
    auto* const cmd = lfirst_node(AlterTableCmd, cell);
    if (cmd->subtype == AT_AttachPartition) CheckBound(castNode(PartitionCmd, cmd->def)->bound);
  }
}

void CheckFilling(AlterTableStmt* alter) {
  Oid const relation = RangeVarGetRelid(alter->relation, AccessShareLock, true);
  if (!OidIsValid(relation) || (get_rel_relkind(relation) != RELKIND_RELATION &&
                                get_rel_relkind(relation) != RELKIND_PARTITIONED_TABLE))
    return;
  bool fills = false;
  ListCell* cell;
  foreach (cell, alter->cmds) {
    AlterTableType const type = lfirst_node(AlterTableCmd, cell)->subtype;
    fills |= type == AT_AddColumn || type == AT_AlterColumnType;
  }
  if (!fills || !FamilyHoldsRows(relation)) return;
  foreach (cell, alter->cmds) {
    auto* cmd = lfirst_node(AlterTableCmd, cell);
    if (cmd->subtype == AT_AddColumn && !(cmd->missing_ok && get_attnum(relation, castNode(ColumnDef, cmd->def)->colname) > 0))
      CheckAddColumn(castNode(ColumnDef, cmd->def));
    if (cmd->subtype == AT_AlterColumnType) CheckAlterType(relation, cmd);
  }
}

}  // namespace dadbs::pg::ddl
