/*
 * nesting.cpp: how deeply values are nested that contracts read is counted, not measured by the stack.
 *
 * PostgreSQL's functions on json, patterns and the like call themselves once per level of their argument, and raise 54001 when this
 * process's stack is used up. Where that is depends on the build and on what is cached, so it is no verdict (own_failure.cpp); but
 * who writes a row or calls a contract chooses the argument, and would stop the chain. So, before a query of a contract is
 * planned, its tree is changed:
 *
 *   json, jsonb   text that is read as one, and each json or jsonb that is passed to a function that may descend into it, goes
 *                 through dadbs_internal.check_nesting(), which raises 54000 above kNestingMax levels: a function of the bytes.
 *                 What a function makes of such values is a level or two deeper, and is asked when it is passed on, or
 *                 written into a column, where constraints may descend into it
 *   LIKE          its pattern goes through dadbs_internal.check_pattern(): at most kNestingMax of '%'
 *   refused       regular expressions, jsonpath and tsquery that are not written out as literals (what they cost does not
 *                 follow from their length), polygons in polygons, input functions with computed text, text that is read
 *                 as an array or row of json, aggregates of users that stand on such functions
 *   refused too   writing tables, and using domains, whose expressions read json or patterns out of text: these are evaluated as
 *                 the catalogs have them. (Of the rows of a write set a session has evaluated them before, with less stack.)
 *
 * PL/pgSQL converts without a plan where a value goes into a variable of another type: conversions.cpp.
 */
#include "internal.h"

#include <algorithm>
#include <unordered_set>

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(dadbs_check_nesting);
PG_FUNCTION_INFO_V1(dadbs_check_pattern);
}

namespace dadbs::pg::contract {
namespace {

constexpr int kNestingMax = 1000;

// ---- what functions do with their arguments

bool IsJson(Oid type) { return type == JSONOID || type == JSONBOID; }

// Whether json may be inside. What a record has in it only its value tells.
bool HoldsJson(Oid type) {
  return AnyPart(type, [](Oid part) { return IsJson(part) || part == RECORDOID || part == RECORDARRAYOID; });
}

bool IsText(Oid type) {
  switch (getBaseType(type)) {
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case NAMEOID:
    case CHAROID:
    case UNKNOWNOID: return true;
    default: return false;
  }
}

// Read one level, or walk without calling themselves.
bool IsShallow(Oid function) {
  switch (function) {
    case F_JSONB_OBJECT_FIELD:
    case F_JSONB_OBJECT_FIELD_TEXT:
    case F_JSONB_ARRAY_ELEMENT:
    case F_JSONB_ARRAY_ELEMENT_TEXT:
    case F_JSONB_EXTRACT_PATH:
    case F_JSONB_EXTRACT_PATH_TEXT:
    case F_JSONB_EXISTS:
    case F_JSONB_EXISTS_ANY:
    case F_JSONB_EXISTS_ALL:
    case F_JSONB_TYPEOF:
    case F_JSONB_ARRAY_LENGTH:
    case F_JSONB_ARRAY_ELEMENTS:
    case F_JSONB_ARRAY_ELEMENTS_TEXT:
    case F_JSONB_OBJECT_KEYS:
    case F_JSONB_EACH:
    case F_JSONB_EACH_TEXT:
    case F_JSONB_EQ:
    case F_JSONB_NE:
    case F_JSONB_LT:
    case F_JSONB_LE:
    case F_JSONB_GT:
    case F_JSONB_GE:
    case F_JSONB_CMP: return true;
    default: return false;
  }
}

bool IsLike(Oid function) {
  switch (function) {
    case F_TEXTLIKE:
    case F_TEXTNLIKE:
    case F_TEXTICLIKE:
    case F_TEXTICNLIKE:
    case F_BPCHARLIKE:
    case F_BPCHARNLIKE:
    case F_BPCHARICLIKE:
    case F_BPCHARICNLIKE:
    case F_NAMELIKE:
    case F_NAMENLIKE:
    case F_NAMEICLIKE:
    case F_NAMEICNLIKE:
    case F_BYTEALIKE:
    case F_BYTEANLIKE:
    case F_LIKE_TEXT_TEXT:
    case F_NOTLIKE_TEXT_TEXT:
    case F_LIKE_NAME_TEXT:
    case F_NOTLIKE_NAME_TEXT:
    case F_LIKE_BYTEA_BYTEA:
    case F_NOTLIKE_BYTEA_BYTEA: return true;
    default: return false;
  }
}

// Their second argument is the pattern.
bool IsRegex(const char* name) {
  return strncmp(name, "regexp_", 7) == 0 || strstr(name, "regexeq") != nullptr || strstr(name, "regexne") != nullptr ||
         strncmp(name, "similar_", 8) == 0;
}

bool IsRegexSubstring(Oid function) { return function == F_SUBSTRING_TEXT_TEXT || function == F_SUBSTRING_TEXT_TEXT_TEXT; }

bool IsPatternType(Oid type) { return type == TSQUERYOID || type == JSONPATHOID; }

// ---- literals of the contract

bool Varies(Node* node, void* context) {
  if (node == nullptr) return false;
  switch (nodeTag(node)) {
    case T_Const:
    case T_FuncExpr:
    case T_OpExpr:
    case T_RelabelType:
    case T_CoerceViaIO:
    case T_CollateExpr:
    case T_ArrayExpr:
    case T_NamedArgExpr:
    case T_List: return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(Varies)), context);
    default: return true;
  }
}

void RequireConstant(Node* node, const char* what) {
  if (!Varies(node, nullptr)) return;
  RaiseForbidden(psprintf("use %s that is not a constant", what), "How much stack it takes does not follow from its length. Write it as a literal.");
}

// ---- the tree

// The function of ours, around the expression.
Node* Guarded(const char* guard, Node* node) {
  Oid const any = ANYELEMENTOID;
  Oid const function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(guard), PointerGetDatum(buildoidvector(&any, 1)),
                                       ObjectIdGetDatum(get_namespace_oid("dadbs_internal", false)));
  if (!OidIsValid(function)) elog(ERROR, "function dadbs_internal.%s() is missing", guard);
  FuncExpr* const call = makeFuncExpr(function, exprType(node), list_make1(node), exprCollation(node), exprCollation(node), COERCE_EXPLICIT_CALL);
  return reinterpret_cast<Node*>(call);
}

int text_guards = 0;  // put around text so far

Node* GuardJson(Node* node) {
  if (IsA(node, Const)) return node;
  if (IsText(exprType(node))) text_guards++;
  return Guarded("check_nesting", node);
}

void CheckPattern(Oid function, const char* name, Node* argument, int at) {
  if (IsPatternType(getBaseType(exprType(argument)))) RequireConstant(argument, "a jsonpath or tsquery");
  if ((IsRegex(name) || IsRegexSubstring(function)) && at == 1) RequireConstant(argument, "a regular expression");
  // similar_to_escape(pattern [, escape])
  if (strncmp(name, "similar_", 8) == 0) RequireConstant(argument, "a regular expression");
  if (get_func_rettype(function) == TSQUERYOID && IsText(exprType(argument))) RequireConstant(argument, "a tsquery");
  if (exprType(argument) == CSTRINGOID) RequireConstant(argument, "an argument of an input function");
}

Node* GuardedArgument(Oid function, const char* name, Node* argument, int at) {
  CheckPattern(function, name, argument, at);
  if (IsLike(function) && at == 1 && !IsA(argument, Const)) {
    text_guards++;
    return Guarded("check_pattern", argument);
  }
  return HoldsJson(exprType(argument)) && !IsShallow(function) ? GuardJson(argument) : argument;
}

// A string inside of json that becomes an array or row is read by its input function.
void CheckPopulated(Oid type) {
  if (!HoldsJson(type) || IsJson(getBaseType(type))) return;
  RaiseForbidden(psprintf("make values of type %s out of json", format_type_be(type)), nullptr);
}

void CheckPopulatedRow(Oid row) {
  if (!type_is_rowtype(row) || row == RECORDOID) return;
  TupleDesc const columns = lookup_rowtype_tupdesc_domain(row, -1, false);
  for (int i = 0; i < columns->natts; i++)
    if (!TupleDescAttr(columns, i)->attisdropped) CheckPopulated(TupleDescAttr(columns, i)->atttypid);
  ReleaseTupleDesc(columns);
}

void GuardArguments(Oid function, List* arguments) {
  if (function >= FirstUnpinnedObjectId) return;  // PL/pgSQL and SQL of users are asked themselves
  const char* const name = get_func_name(function);
  if (function == F_POLY_CONTAIN || function == F_POLY_CONTAINED) RaiseForbidden("ask whether polygons contain each other", nullptr);
  if (strstr(name, "_populate_record") != nullptr) CheckPopulatedRow(exprType(static_cast<Node*>(linitial(arguments))));
  ListCell* cell;
  foreach (cell, arguments) {
    Node* const node = static_cast<Node*>(lfirst(cell));
    int const at = foreach_current_index(cell);
    if (IsA(node, TargetEntry)) {  // of an aggregate
      auto* const target = reinterpret_cast<TargetEntry*>(node);
      target->expr = reinterpret_cast<Expr*>(GuardedArgument(function, name, reinterpret_cast<Node*>(target->expr), at));
    } else if (IsA(node, NamedArgExpr)) {  // the planner puts them in order
      auto* const named = reinterpret_cast<NamedArgExpr*>(node);
      named->arg = reinterpret_cast<Expr*>(GuardedArgument(function, name, reinterpret_cast<Node*>(named->arg), named->argnumber));
    } else {
      lfirst(cell) = GuardedArgument(function, name, node, at);
    }
  }
}

// A user's aggregate calls built-in functions with its arguments, and shows them to nobody.
void CheckAggregate(Oid aggregate) {
  if (aggregate < FirstUnpinnedObjectId) return;
  HeapTuple const tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
  if (!HeapTupleIsValid(tuple)) return;
  FormData_pg_aggregate const form = *reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  for (Oid const called : {form.aggtransfn, form.aggfinalfn, form.aggmtransfn, form.aggminvtransfn, form.aggmfinalfn}) {
    if (!OidIsValid(called) || called >= FirstUnpinnedObjectId) continue;
    bool descends = IsRegex(get_func_name(called)) || IsRegexSubstring(called) || IsLike(called);
    Oid* types;
    int count;
    (void)get_func_signature(called, &types, &count);
    for (int i = 0; i < count; i++) descends |= IsPatternType(types[i]) || (HoldsJson(types[i]) && !IsShallow(called));
    if (descends) RaiseForbidden(psprintf("use aggregate %s, which stands on function %s", get_func_name(aggregate), get_func_name(called)), nullptr);
  }
}

void GuardConversion(CoerceViaIO* conversion) {
  Oid const result = getBaseType(conversion->resulttype);
  Node* const argument = reinterpret_cast<Node*>(conversion->arg);
  Oid const from = getBaseType(exprType(argument));
  if (IsPatternType(result)) RequireConstant(argument, "a jsonpath or tsquery");
  if (!HoldsJson(result)) {  // printed: rows inside of rows
    if (HoldsJson(from) && !IsJson(from)) conversion->arg = reinterpret_cast<Expr*>(GuardJson(argument));
    return;
  }
  if (IsJson(result) && (IsText(from) || IsJson(from)))
    conversion->arg = reinterpret_cast<Expr*>(GuardJson(argument));
  else
    RequireConstant(argument, psprintf("text as a value of type %s", format_type_be(result)));
}

void GuardScalarArray(ScalarArrayOpExpr* operation) {
  set_sa_opfuncid(operation);
  if (IsLike(operation->opfuncid)) return RequireConstant(static_cast<Node*>(lsecond(operation->args)), "a list of LIKE patterns");
  GuardArguments(operation->opfuncid, operation->args);
}

Node* Mutate(Node* node, void* context);

// PostgreSQL evaluates it as it stands in the catalogs: no query shows it.
void CheckHidden(Node* expression, const char* what) {
  int const before = text_guards;
  (void)Mutate(expression, nullptr);
  if (text_guards == before) return;
  RaiseForbidden(psprintf("use %s, which reads json or a pattern out of text", what), "Nobody counts there how deeply it is nested.");
}

// What is written into columns.
void GuardTargets(List* targets) {
  ListCell* cell;
  foreach (cell, targets) {
    auto* const target = lfirst_node(TargetEntry, cell);
    Node* const value = reinterpret_cast<Node*>(target->expr);
    if (!target->resjunk && HoldsJson(exprType(value))) target->expr = reinterpret_cast<Expr*>(GuardJson(value));
  }
}

Node* MutateQuery(Query* query, void* context) {
  Query* const copy = query_tree_mutator(query, reinterpret_cast<Node* (*)()>(reinterpret_cast<void*>(Mutate)), context, 0);
  if (copy->commandType == CMD_INSERT || copy->commandType == CMD_UPDATE) GuardTargets(copy->targetList);
  if (copy->onConflict != nullptr) {
    GuardTargets(copy->onConflict->onConflictSet);
    // By these the planner finds the index.
    copy->onConflict->arbiterElems = static_cast<List*>(copyObjectImpl(query->onConflict->arbiterElems));
    copy->onConflict->arbiterWhere = static_cast<Node*>(copyObjectImpl(query->onConflict->arbiterWhere));
  }
  ListCell* cell;
  foreach (cell, copy->mergeActionList) GuardTargets(lfirst_node(MergeAction, cell)->targetList);
  return reinterpret_cast<Node*>(copy);
}

Node* Mutate(Node* node, void* context) {
  if (node == nullptr) return nullptr;
  if (IsA(node, Query)) return MutateQuery(reinterpret_cast<Query*>(node), context);
  Node* const copy = expression_tree_mutator(node, reinterpret_cast<Node* (*)()>(reinterpret_cast<void*>(Mutate)), context);
  switch (nodeTag(copy)) {
    case T_FuncExpr: {
      auto* const call = reinterpret_cast<FuncExpr*>(copy);
      GuardArguments(call->funcid, call->args);
      break;
    }
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr: {
      auto* const operation = reinterpret_cast<OpExpr*>(copy);
      set_opfuncid(operation);
      GuardArguments(operation->opfuncid, operation->args);
      break;
    }
    case T_ScalarArrayOpExpr: GuardScalarArray(reinterpret_cast<ScalarArrayOpExpr*>(copy)); break;
    case T_Aggref:
      CheckAggregate(reinterpret_cast<Aggref*>(copy)->aggfnoid);
      GuardArguments(reinterpret_cast<Aggref*>(copy)->aggfnoid, reinterpret_cast<Aggref*>(copy)->args);
      break;
    case T_WindowFunc:
      CheckAggregate(reinterpret_cast<WindowFunc*>(copy)->winfnoid);
      GuardArguments(reinterpret_cast<WindowFunc*>(copy)->winfnoid, reinterpret_cast<WindowFunc*>(copy)->args);
      break;
    case T_CoerceViaIO: GuardConversion(reinterpret_cast<CoerceViaIO*>(copy)); break;
    case T_CoerceToDomain: CheckDomainNesting(reinterpret_cast<CoerceToDomain*>(copy)->resulttype); break;
    case T_RangeTblFunction: {  // json_to_record() and its kin
      ListCell* cell;
      foreach (cell, reinterpret_cast<RangeTblFunction*>(copy)->funccoltypes) CheckPopulated(lfirst_oid(cell));
      break;
    }
    case T_SubscriptingRef: {  // x['a'] := value descends like jsonb_set()
      auto* const subscript = reinterpret_cast<SubscriptingRef*>(copy);
      if (subscript->refassgnexpr == nullptr || subscript->refcontainertype != JSONBOID) break;
      subscript->refexpr = reinterpret_cast<Expr*>(GuardJson(reinterpret_cast<Node*>(subscript->refexpr)));
      subscript->refassgnexpr = reinterpret_cast<Expr*>(GuardJson(reinterpret_cast<Node*>(subscript->refassgnexpr)));
      break;
    }
    default: break;
  }
  return copy;
}

// ---- tables

std::unordered_set<Oid> plain_tables;  // looked at since their definitions changed

void OnRelationChange(Datum, Oid relation) {
  if (OidIsValid(relation))
    plain_tables.erase(relation);
  else
    plain_tables.clear();
}

// ---- counting

[[noreturn]] void RaiseTooDeep(const char* type) {
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("a contract cannot use a value of type %s that is nested more than %d deep", type, kNestingMax)));
  pg_unreachable();
}

// Levels of arrays and objects that are open at once, at most. Of a text that is no json: at least as many as the parser enters
// before it finds that out.
int JsonNesting(core::ByteView text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    uint8_t const c = text[i];
    if (in_string) {
      if (c == '\\') i++;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return deepest;
}

core::ByteView BytesOf(Datum value) {
  struct varlena* const bytes = PG_DETOAST_DATUM_PACKED(value);
  return {reinterpret_cast<const uint8_t*>(VARDATA_ANY(bytes)), static_cast<size_t>(VARSIZE_ANY_EXHDR(bytes))};
}

void CountBrackets(Datum value) {
  if (JsonNesting(BytesOf(value)) > kNestingMax) RaiseTooDeep("json");
}

void CountTokens(Datum value) {
  JsonbIterator* iterator = JsonbIteratorInit(&DatumGetJsonbP(value)->root);
  JsonbValue token;
  int depth = 0;
  for (JsonbIteratorToken kind; (kind = JsonbIteratorNext(&iterator, &token, false)) != WJB_DONE;) {
    if (kind == WJB_BEGIN_ARRAY || kind == WJB_BEGIN_OBJECT) depth++;
    if (kind == WJB_END_ARRAY || kind == WJB_END_OBJECT) depth--;
    if (depth > kNestingMax) RaiseTooDeep("jsonb");
  }
}

void CountJson(Datum value, Oid type, int depth);

void CountElements(Datum value, Oid element, int depth) {
  int16 length;
  bool by_value;
  char align;
  get_typlenbyvalalign(element, &length, &by_value, &align);
  Datum* elements;
  bool* nulls;
  int count;
  deconstruct_array(DatumGetArrayTypeP(value), element, length, by_value, align, &elements, &nulls, &count);
  for (int i = 0; i < count; i++)
    if (!nulls[i]) CountJson(elements[i], element, depth);
}

void CountColumns(Datum value, int depth) {
  HeapTupleHeader const header = DatumGetHeapTupleHeader(value);
  TupleDesc const columns = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
  HeapTupleData tuple = {};
  tuple.t_len = HeapTupleHeaderGetDatumLength(header);
  ItemPointerSetInvalid(&tuple.t_self);
  tuple.t_data = header;
  for (int i = 0; i < columns->natts; i++) {
    if (TupleDescAttr(columns, i)->attisdropped) continue;
    bool isnull;
    Datum const column = heap_getattr(&tuple, i + 1, columns, &isnull);
    if (!isnull) CountJson(column, TupleDescAttr(columns, i)->atttypid, depth);
  }
  ReleaseTupleDesc(columns);
}

// In the value of this type, and in its elements and columns: text there is no json. `depth`: arrays and rows around it.
void CountJson(Datum value, Oid type, int depth) {
  if (depth > kNestingMax) RaiseTooDeep("record");
  Oid const base = getBaseType(type);
  if (base == JSONBOID) return CountTokens(value);
  if (base == JSONOID) return CountBrackets(value);
  if (!HoldsJson(base)) return;
  if (Oid const element = get_element_type(base); OidIsValid(element)) return CountElements(value, element, depth + 1);
  if (type_is_rowtype(base)) CountColumns(value, depth + 1);
}

}  // namespace

void CheckDomainNesting(Oid domain) {
  auto* const constraints = static_cast<DomainConstraintRef*>(palloc0(sizeof(DomainConstraintRef)));  // lives as long as its context
  InitDomainConstraintRef(domain, constraints, CurrentMemoryContext, false);
  ListCell* cell;
  foreach (cell, constraints->constraints)
    if (Expr* const check = static_cast<DomainConstraintState*>(lfirst(cell))->check_expr)
      CheckHidden(reinterpret_cast<Node*>(check), psprintf("domain %s", format_type_be(domain)));
}

Query* GuardNesting(Query* query) { return reinterpret_cast<Query*>(Mutate(reinterpret_cast<Node*>(query), nullptr)); }

void CheckTableNesting(Relation table) {
  Oid const id = RelationGetRelid(table);
  if (Enter([&] { return plain_tables.contains(id); })) return;
  const char* const name = RelationGetRelationName(table);
  if (const TupleConstr* const constraints = table->rd_att->constr) {
    for (int i = 0; i < constraints->num_check; i++)
      CheckHidden(static_cast<Node*>(stringToNode(constraints->check[i].ccbin)), psprintf("constraint \"%s\" of table \"%s\"", constraints->check[i].ccname, name));
    for (int i = 0; constraints->has_generated_stored && i < constraints->num_defval; i++)
      if (TupleDescAttr(table->rd_att, constraints->defval[i].adnum - 1)->attgenerated != '\0')
        CheckHidden(static_cast<Node*>(stringToNode(constraints->defval[i].adbin)), psprintf("a generated column of table \"%s\"", name));
  }
  for (int i = 0; table->trigdesc != nullptr && i < table->trigdesc->numtriggers; i++)
    if (const Trigger* const trigger = &table->trigdesc->triggers[i]; trigger->tgqual != nullptr)
      CheckHidden(static_cast<Node*>(stringToNode(trigger->tgqual)), psprintf("the WHEN of trigger \"%s\"", trigger->tgname));
  List* const indexes = RelationGetIndexList(table);
  ListCell* cell;
  foreach (cell, indexes) {
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    CheckHidden(reinterpret_cast<Node*>(RelationGetIndexExpressions(index)), psprintf("index \"%s\"", RelationGetRelationName(index)));
    CheckHidden(reinterpret_cast<Node*>(RelationGetIndexPredicate(index)), psprintf("index \"%s\"", RelationGetRelationName(index)));
    index_close(index, AccessShareLock);
  }
  list_free(indexes);
  Enter([&] { plain_tables.insert(id); });
}

void InitNesting() { CacheRegisterRelcacheCallback(OnRelationChange, 0); }

}  // namespace dadbs::pg::contract

extern "C" Datum dadbs_check_nesting(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg::contract;
  Oid const type = get_fn_expr_argtype(fcinfo->flinfo, 0);
  Datum const value = PG_GETARG_DATUM(0);
  if (!IsText(type))
    CountJson(value, type, 0);
  else if (get_typlen(type) == -1)
    CountBrackets(value);
  PG_RETURN_DATUM(value);
}

extern "C" Datum dadbs_check_pattern(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg::contract;
  Datum const value = PG_GETARG_DATUM(0);
  if (get_typlen(get_fn_expr_argtype(fcinfo->flinfo, 0)) != -1) PG_RETURN_DATUM(value);  // a name: short
  auto const bytes = BytesOf(value);
  if (std::count(bytes.begin(), bytes.end(), '%') > kNestingMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("a contract cannot use a LIKE pattern with more than %d of \"%%\"", kNestingMax)));
  PG_RETURN_DATUM(value);
}
