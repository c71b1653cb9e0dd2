/*
 * analyze_parse.cpp: the rewritten query trees of the expressions and statements of a contract.
 *
 * Names are resolved as PL/pgSQL resolves them (its name spaces, asked through LookupName), but types come from here: at run
 * time PL/pgSQL takes the type of a record from its value, and there is none. A record variable has the shape of what the walk
 * saw assigned to it last. NEW and OLD have that of the table, if it is given or a trigger is attached; else that of the
 * tables that have all the columns which the contract names, where they agree. What remains is an untyped parameter, to which
 * PostgreSQL gives the type that its use asks for, as in PREPARE; rules about types leave such fields alone (IsGuessed), and
 * the contract is looked at again when the trigger is created.
 */
#include "internal.h"

#include "analyze_internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/functions.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg::analysis {
namespace {

struct HookState {
  Analysis* a;
  PLpgSQL_expr* expression;
  Oid default_type;  // of untyped fields; UNKNOWNOID: as their use asks for
  bool arithmetic;   // those that are added, multiplied, ... are numeric
  List* operands;    // int: locations of names that are
  bool untyped;      // there were some
};

PLpgSQL_datum* Datum_(Analysis* a, int dno) { return a->function->datums[dno]; }

bool IsTransition(Analysis* a, int dno) {
  return a->trigger && (dno == a->function->new_varno || dno == a->function->old_varno);
}

// The type of a column in all tables that NEW may be a row of; invalid if they differ or there is none.
Oid TransitionFieldType(Analysis* a, const char* field, int32* modifier, Oid* collation) {
  Oid type = InvalidOid;
  ListCell* cell;
  foreach (cell, a->tables) {
    AttrNumber const column = get_attnum(lfirst_oid(cell), field);
    if (column <= 0) {
      if (list_length(a->tables) > 1) return InvalidOid;
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                      errmsg("table \"%s\" has no column \"%s\"", get_rel_name(lfirst_oid(cell)), field)));
    }
    Oid this_type;
    get_atttypetypmodcoll(lfirst_oid(cell), column, &this_type, modifier, collation);
    if (OidIsValid(type) && type != this_type) return InvalidOid;
    type = this_type;
  }
  if (list_length(a->tables) > 1) *modifier = -1;
  return type;
}

Oid ShapeFieldType(TupleDesc shape, const char* record, const char* field, int32* modifier, Oid* collation) {
  for (int i = 0; i < shape->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(shape, i);
    if (column->attisdropped || strcmp(NameStr(column->attname), field) != 0) continue;
    *modifier = column->atttypmod;
    *collation = column->attcollation;
    return column->atttypid;
  }
  ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("record \"%s\" has no field \"%s\"", record, field)));
}

Oid FieldType(Analysis* a, PLpgSQL_recfield* field, int32* modifier, Oid* collation) {
  auto* const record = reinterpret_cast<PLpgSQL_rec*>(Datum_(a, field->recparentno));
  if (record->rectypeid != RECORDOID) {
    TupleDesc const shape = lookup_rowtype_tupdesc_copy(getBaseType(record->rectypeid), -1);
    return ShapeFieldType(shape, record->refname, field->fieldname, modifier, collation);
  }
  if (TupleDesc const shape = a->shapes[record->dno]; shape != nullptr)
    return ShapeFieldType(shape, record->refname, field->fieldname, modifier, collation);
  if (IsTransition(a, record->dno)) return TransitionFieldType(a, field->fieldname, modifier, collation);
  return InvalidOid;
}

Oid RecordType(Analysis* a, PLpgSQL_rec* record, int32* modifier) {
  if (record->rectypeid != RECORDOID) return record->rectypeid;
  if (TupleDesc const shape = a->shapes[record->dno]; shape != nullptr) {
    *modifier = shape->tdtypmod;
    return shape->tdtypeid;
  }
  if (IsTransition(a, record->dno) && a->tables != NIL) return get_rel_type_id(linitial_oid(a->tables));
  return RECORDOID;
}

Node* MakeParam(HookState* state, int dno, int location) {
  auto* const param = makeNode(Param);
  param->paramkind = PARAM_EXTERN;
  param->paramid = dno + 1;
  param->paramtype = DatumType(state->a, dno, &param->paramtypmod, &param->paramcollid);
  param->location = location;
  if (!OidIsValid(param->paramtype)) {
    state->untyped = true;
    param->paramtype = list_member_int(state->operands, location) ? NUMERICOID : state->default_type;
    param->paramtypmod = -1;
    param->paramcollid = get_typcollation(param->paramtype);
  }
  return reinterpret_cast<Node*>(param);
}

const char* FieldName(ColumnRef* reference, int i) {
  auto* const field = static_cast<Node*>(list_nth(reference->fields, i));
  return IsA(field, String) ? strVal(field) : "*";
}

// The datum of record.field, made by the compiler wherever the text names one.
int FindField(Analysis* a, int record, const char* name) {
  int dno = reinterpret_cast<PLpgSQL_rec*>(Datum_(a, record))->firstfield;
  while (dno >= 0) {
    auto* const field = reinterpret_cast<PLpgSQL_recfield*>(Datum_(a, dno));
    if (strcmp(field->fieldname, name) == 0) return dno;
    dno = field->nextfield;
  }
  return -1;
}

// resolve_column_ref() of pl_comp.c.
Node* Resolve(HookState* state, ColumnRef* reference) {
  int const length = list_length(reference->fields);
  if (length > 3) return nullptr;
  const char* names[3] = {nullptr, nullptr, nullptr};
  for (int i = 0; i < length; i++) names[i] = FieldName(reference, i);
  bool const whole = strcmp(names[length - 1], "*") == 0;
  if (whole && length == 1) return nullptr;
  int used = 0;
  PLpgSQL_nsitem* const item = LookupName(state->expression->ns, names[0], names[1], names[2], &used);
  if (item == nullptr) return nullptr;
  int const own = whole ? length - 1 : length;  // names without the asterisk
  if (item->itemtype == PLPGSQL_NSTYPE_VAR)
    return used == own && !whole ? MakeParam(state, item->itemno, reference->location) : nullptr;
  if (item->itemtype != PLPGSQL_NSTYPE_REC) return nullptr;
  if (used == own) return MakeParam(state, item->itemno, reference->location);
  if (whole || used != own - 1) return nullptr;
  int const field = FindField(state->a, item->itemno, names[own - 1]);
  return field < 0 ? nullptr : MakeParam(state, field, reference->location);
}

Node* OnColumnBefore(ParseState* parse, ColumnRef* reference) {
  auto* const state = static_cast<HookState*>(parse->p_ref_hook_state);
  return state->a->function->resolve_option == PLPGSQL_RESOLVE_VARIABLE ? Resolve(state, reference) : nullptr;
}

Node* OnColumnAfter(ParseState* parse, ColumnRef* reference, Node* column) {
  auto* const state = static_cast<HookState*>(parse->p_ref_hook_state);
  PLpgSQL_resolve_option const option = state->a->function->resolve_option;
  if (option == PLPGSQL_RESOLVE_VARIABLE || (option == PLPGSQL_RESOLVE_COLUMN && column != nullptr)) return nullptr;
  Node* const variable = Resolve(state, reference);
  if (variable != nullptr && column != nullptr)
    ereport(ERROR,
            (errcode(ERRCODE_AMBIGUOUS_COLUMN), errmsg("column reference \"%s\" is ambiguous", NameListToString(reference->fields)),
             errdetail("It could refer to either a PL/pgSQL variable or a table column."),
             errhint("Qualify it, or give the variable another name."), parser_errposition(parse, reference->location)));
  return variable;
}

Node* OnParameter(ParseState* parse, ParamRef* reference) {
  auto* const state = static_cast<HookState*>(parse->p_ref_hook_state);
  char name[16];
  snprintf(name, sizeof(name), "$%d", reference->number);
  PLpgSQL_nsitem* const item = LookupName(state->expression->ns, name, nullptr, nullptr, nullptr);
  return item == nullptr ? nullptr : MakeParam(state, item->itemno, reference->location);
}

Node* OnCoerce(ParseState*, Param* param, Oid type, int32, int) {
  if (param->paramkind != PARAM_EXTERN || param->paramtype != UNKNOWNOID) return nullptr;
  param->paramtype = type;
  param->paramtypmod = -1;
  param->paramcollid = get_typcollation(type);
  return reinterpret_cast<Node*>(param);
}

RawStmt* RawOf(PLpgSQL_expr* expression) {
  List* const raw = raw_parser(expression->query, expression->parseMode);
  if (list_length(raw) != 1) ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("more than one statement in an expression")));
  return linitial_node(RawStmt, raw);
}

// a + b of unknown types has no operator: the names in arithmetic are taken for numbers.
bool CollectOperands(Node* node, HookState* state) {
  if (node == nullptr) return false;
  if (IsA(node, A_Expr) && reinterpret_cast<A_Expr*>(node)->kind == AEXPR_OP) {
    auto* const expression = reinterpret_cast<A_Expr*>(node);
    const char* const name = strVal(llast(expression->name));
    for (Node* const operand : {expression->lexpr, expression->rexpr})
      if (strlen(name) == 1 && strchr("+-*/%", name[0]) != nullptr && operand != nullptr && IsA(operand, ColumnRef))
        state->operands = lappend_int(state->operands, reinterpret_cast<ColumnRef*>(operand)->location);
  }
  return raw_expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(CollectOperands)), state);
}

// Functions that do not exist: extensions that are not installed, or not everywhere.
bool ReportUndefined(Node* node, Analysis* a) {
  if (node == nullptr) return false;
  if (IsA(node, FuncCall)) {
    auto* const call = reinterpret_cast<FuncCall*>(node);
    if (FuncnameGetCandidates(call->funcname, -1, NIL, false, false, false, true) == nullptr)
      Report(a, Rule::kUnsafeFunction, call->location, "Use built-in functions, those that dadbs offers, or another contract.",
             "there is no function %s()", NameListToString(call->funcname));
  }
  return raw_expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(ReportUndefined)), a);
}

List* Analyze(HookState* state) {
  RawStmt* const raw = RawOf(state->expression);
  if (state->arithmetic) CollectOperands(raw->stmt, state);
  ParseState* const parse = make_parsestate(nullptr);
  parse->p_sourcetext = state->expression->query;
  parse->p_pre_columnref_hook = OnColumnBefore;
  parse->p_post_columnref_hook = OnColumnAfter;
  parse->p_paramref_hook = OnParameter;
  parse->p_coerce_param_hook = OnCoerce;
  parse->p_ref_hook_state = state;
  // What is assigned to a field of unknown type cannot be converted to it: only the value is looked at.
  if (IsA(raw->stmt, PLAssignStmt)) {
    int32 modifier;
    Oid collation;
    if (!OidIsValid(DatumType(state->a, state->expression->target_param, &modifier, &collation)))
      raw->stmt = reinterpret_cast<Node*>(reinterpret_cast<PLAssignStmt*>(raw->stmt)->val);
  }
  Query* const query = transformTopLevelStmt(parse, raw);
  free_parsestate(parse);
  return pg_rewrite_query(contract::WithConstants(query, state->a->function));
}

bool AnalyzeAs(Analysis* a, PLpgSQL_expr* expression, Oid default_type, bool arithmetic, bool quiet, bool* untyped, List** queries) {
  HookState state = {a, expression, default_type, arithmetic, NIL, false};
  HookState* const at = &state;
  bool const good = Try(a, quiet, [=] { *queries = Analyze(at); });
  *untyped = state.untyped;
  return good;
}

bool HasAllColumns(Oid table, List* names) {
  ListCell* cell;
  foreach (cell, names)
    if (get_attnum(table, static_cast<const char*>(lfirst(cell))) == InvalidAttrNumber) return false;
  return true;
}

bool IsUserSchema(Oid schema) {
  const char* const name = get_namespace_name(schema);
  return name != nullptr && strncmp(name, "pg_", 3) != 0 && strcmp(name, "information_schema") != 0 &&
         strcmp(name, "dadbs") != 0 && strcmp(name, "dadbs_internal") != 0 && strcmp(name, "contracts") != 0;
}

// Ordinary tables that have all columns which the contract names with NEW and OLD.
void AddTablesByColumns(Analysis* a, List* names) {
  if (names == NIL) return;
  Relation const catalog = table_open(RelationRelationId, AccessShareLock);
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  List* found = NIL;
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto* const form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    if ((form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE) || form->relispartition ||
        form->relpersistence != RELPERSISTENCE_PERMANENT || !IsUserSchema(form->relnamespace))
      continue;
    if (HasAllColumns(form->oid, names)) found = lappend_oid(found, form->oid);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  a->tables = found;
}

List* TransitionColumns(Analysis* a) {
  List* names = NIL;
  for (int i = 0; i < a->function->ndatums; i++) {
    if (Datum_(a, i)->dtype != PLPGSQL_DTYPE_RECFIELD) continue;
    auto* const field = reinterpret_cast<PLpgSQL_recfield*>(Datum_(a, i));
    if (IsTransition(a, field->recparentno)) names = lappend(names, field->fieldname);
  }
  return names;
}

int FindLine(const char* body, int line) {
  int at = 0;
  for (int i = 1; i < line && body[at] != '\0'; at++) i += body[at] == '\n';
  return at;
}

}  // namespace

void PrepareVariables(Analysis* a) {
  int const count = a->function->ndatums + 1;
  a->shapes = static_cast<TupleDesc*>(palloc0(sizeof(TupleDesc) * static_cast<Size>(count)));
  if (!a->trigger) return;
  a->inputs = bms_add_member(a->inputs, a->function->new_varno);
  if (OidIsValid(a->given_table)) {
    a->tables = list_make1_oid(a->given_table);
    return;
  }
  a->tables = TablesFiring(a->name);
  if (a->tables == NIL) AddTablesByColumns(a, TransitionColumns(a));
}

Oid DatumType(Analysis* a, int dno, int32* modifier, Oid* collation) {
  *modifier = -1;
  *collation = InvalidOid;
  PLpgSQL_datum* const datum = Datum_(a, dno);
  switch (datum->dtype) {
    case PLPGSQL_DTYPE_VAR:
    case PLPGSQL_DTYPE_PROMISE: {
      PLpgSQL_type* const type = reinterpret_cast<PLpgSQL_var*>(datum)->datatype;
      *modifier = type->atttypmod;
      *collation = type->collation;
      return type->typoid;
    }
    case PLPGSQL_DTYPE_REC: return RecordType(a, reinterpret_cast<PLpgSQL_rec*>(datum), modifier);
    case PLPGSQL_DTYPE_RECFIELD: return FieldType(a, reinterpret_cast<PLpgSQL_recfield*>(datum), modifier, collation);
    default: return RECORDOID;
  }
}

bool IsGuessed(Analysis* a, int dno) {
  if (a->function == nullptr || dno < 0 || dno >= a->function->ndatums) return false;
  if (Datum_(a, dno)->dtype != PLPGSQL_DTYPE_RECFIELD) return false;
  auto* const field = reinterpret_cast<PLpgSQL_recfield*>(Datum_(a, dno));
  auto* const record = reinterpret_cast<PLpgSQL_rec*>(Datum_(a, field->recparentno));
  if (record->rectypeid != RECORDOID || a->shapes[record->dno] != nullptr) return false;
  int32 modifier;
  Oid collation;
  return !IsTransition(a, record->dno) || !OidIsValid(TransitionFieldType(a, field->fieldname, &modifier, &collation));
}

const char* DatumName(Analysis* a, int dno) {
  if (a->function == nullptr) return dno < a->signature.count ? a->signature.arguments[dno].name : "";
  if (dno < 0 || dno >= a->function->ndatums) return "";
  PLpgSQL_datum* const datum = Datum_(a, dno);
  if (datum->dtype == PLPGSQL_DTYPE_RECFIELD) return reinterpret_cast<PLpgSQL_recfield*>(datum)->fieldname;
  const char* const name = reinterpret_cast<PLpgSQL_variable*>(datum)->refname;
  return name == nullptr ? "" : name;
}

int ParentOf(Analysis* a, int dno) {
  if (a->function == nullptr || dno < 0 || dno >= a->function->ndatums) return -1;
  PLpgSQL_datum* const datum = Datum_(a, dno);
  return datum->dtype == PLPGSQL_DTYPE_RECFIELD ? reinterpret_cast<PLpgSQL_recfield*>(datum)->recparentno : -1;
}

int FieldOf(Analysis* a, int record, const char* name) { return name == nullptr ? -1 : FindField(a, record, name); }

// Where the text of the expression begins: the statement's line is known, so it is the next place that reads so.
void SetPosition(Analysis* a, PLpgSQL_expr* expression) {
  a->query = expression->query;
  a->query_line = a->line;
  size_t const first_line = strcspn(expression->query, "\n");
  char* const text = pnstrdup(expression->query, first_line);
  const char* const from = a->body + FindLine(a->body, a->line);
  const char* const at = strstr(from, text);
  for (const char* p = from; at != nullptr && p < at; p++) a->query_line += *p == '\n';
  pfree(text);
}

List* ParseExpression(Analysis* a, PLpgSQL_expr* expression, bool quiet) {
  SetPosition(a, expression);
  expression->func = a->function;
  List* queries = NIL;
  bool untyped = false;
  if (AnalyzeAs(a, expression, UNKNOWNOID, false, true, &untyped, &queries)) return queries;
  if (untyped && AnalyzeAs(a, expression, UNKNOWNOID, true, true, &untyped, &queries)) return queries;
  if (quiet) return NIL;
  Try(a, true, [=] { ReportUndefined(RawOf(expression)->stmt, a); });
  if (!untyped) {
    AnalyzeAs(a, expression, UNKNOWNOID, false, false, &untyped, &queries);
    return NIL;
  }
  static const Oid kGuesses[] = {NUMERICOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, JSONBOID, DATEOID, UUIDOID};
  for (Oid const guess : kGuesses)
    if (AnalyzeAs(a, expression, guess, false, true, &untyped, &queries)) return queries;
  ReportAs(a, Rule::kInvalid, false, -1, "Name the table: analyze_contract(..., on_table => 'NAME').",
           "not checked: which table NEW and OLD are rows of is not known");
  return NIL;
}

List* ParseSqlBody(Analysis* a, RawStmt* statement) {
  List* queries = NIL;
  List** const result = &queries;
  bool const good = Try(a, false, [=] {
    auto* const info = static_cast<SQLFunctionParseInfo*>(palloc0(sizeof(SQLFunctionParseInfo)));
    info->fname = pstrdup(a->name[0] ? a->name : "contract");
    info->argtypes = static_cast<Oid*>(palloc0(sizeof(Oid) * static_cast<Size>(a->signature.count + 1)));
    info->argnames = static_cast<char**>(palloc0(sizeof(char*) * static_cast<Size>(a->signature.count + 1)));
    for (int i = 0; i < a->signature.count; i++) {
      const Argument& argument = a->signature.arguments[i];
      if (argument.mode == PROARGMODE_OUT || argument.mode == PROARGMODE_TABLE) continue;
      info->argtypes[info->nargs] = argument.type;
      info->argnames[info->nargs++] = argument.name;
    }
    ParseState* const parse = make_parsestate(nullptr);
    parse->p_sourcetext = a->body;
    sql_fn_parser_setup(parse, info);
    Query* const query = transformTopLevelStmt(parse, statement);
    free_parsestate(parse);
    *result = pg_rewrite_query(query);
  });
  if (!good) Try(a, true, [=] { ReportUndefined(statement->stmt, a); });
  return queries;
}

// The rows that a query gives, as a record variable would hold them.
TupleDesc ShapeOf(Query* query) {
  List* targets = query->targetList;
  if (query->commandType != CMD_SELECT) targets = query->returningList;
  if (query->commandType == CMD_UTILITY || targets == NIL) return nullptr;
  TupleDesc const shape = ExecCleanTypeFromTL(targets);
  for (int i = 0; i < shape->natts; i++)
    if (TupleDescAttr(shape, i)->atttypid == UNKNOWNOID) TupleDescAttr(shape, i)->atttypid = TEXTOID;
  return BlessTupleDesc(shape);
}

void AssignShape(Analysis* a, PLpgSQL_variable* target, TupleDesc shape) {
  if (target == nullptr || target->dtype != PLPGSQL_DTYPE_REC) return;
  a->shapes[target->dno] = shape;
}

}  // namespace dadbs::pg::analysis
