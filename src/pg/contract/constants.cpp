/*
 * constants.cpp: variables of PL/pgSQL that are literals under another name.
 *
 *   DECLARE shape CONSTANT text := '^[A-Z]{2}[0-9]+$';
 *
 * Patterns in contracts must be literals (nesting.cpp). Such a variable stands for one: wherever a query of its function names it, the
 * literal takes its place in the query's tree, before that is rewritten. In the analysis of a contract, and in dadbs's workers on every
 * member, whether a contract runs or not: what PL/pgSQL has once prepared it plans later from the same tree, and a verdict must
 * not depend on when it was prepared. In sessions nothing changes.
 *
 * It is a literal if the declaration says CONSTANT, a type of those below itself (no domain, no length: they would change or refuse the
 * value), and as its value one string and nothing else. All of that PL/pgSQL's compiler has told from the text of the function; no
 * value is looked at, so it is the same on every member and at each call. Which variable a name means the compiler has decided, too
 * (inner blocks, parameters, aliases): a query refers to it by number. Nothing can be assigned to such a variable.
 *
 * That a query is PL/pgSQL's, and of which function, tell the hooks of its parser.
 */
#include "internal.h"

#include "dadbs/pg/worker.h"

extern "C" {
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "plpgsql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::contract {
namespace {

post_parse_analyze_hook_type previous_post_parse_analyze = nullptr;

bool IsLiteralType(const PLpgSQL_type* type) { return type->atttypmod < 0 && (type->typoid == TEXTOID || type->typoid == JSONPATHOID || type->typoid == TSQUERYOID); }

// The string, if the expression is nothing else.
const char* LiteralOf(const PLpgSQL_expr* expression) {
  if (expression->parseMode != RAW_PARSE_PLPGSQL_EXPR) return nullptr;
  List* const raw = raw_parser(expression->query, RAW_PARSE_PLPGSQL_EXPR);
  auto* const select = reinterpret_cast<SelectStmt*>(list_length(raw) == 1 ? linitial_node(RawStmt, raw)->stmt : nullptr);
  if (select == nullptr || !IsA(select, SelectStmt) || list_length(select->targetList) != 1) return nullptr;
  auto* const value = reinterpret_cast<A_Const*>(linitial_node(ResTarget, select->targetList)->val);
  if (value == nullptr || !IsA(value, A_Const) || value->isnull || !IsA(&value->val.node, String)) return nullptr;
  auto* const alone = makeNode(SelectStmt);  // no FROM, WHERE, ...
  alone->targetList = select->targetList;
  return equal(alone, select) ? value->val.sval.sval : nullptr;
}

// The value that the variable has wherever a query can name it: it was declared before, in a block that has been entered.
Const* ValueOf(const PLpgSQL_datum* datum) {
  auto* const variable = reinterpret_cast<const PLpgSQL_var*>(datum);
  if (datum->dtype != PLPGSQL_DTYPE_VAR || !variable->isconst || variable->default_val == nullptr || !IsLiteralType(variable->datatype)) return nullptr;
  const char* const literal = LiteralOf(variable->default_val);
  if (literal == nullptr) return nullptr;
  Oid const type = variable->datatype->typoid;
  Oid input, parameter;
  getTypeInputInfo(type, &input, &parameter);
  return makeConst(type, -1, variable->datatype->collation, -1, OidInputFunctionCall(input, const_cast<char*>(literal), parameter, -1), false, false);
}

// Only what the query names is looked at: a literal that is no value of its type raises where its block is entered, and nowhere else.
Node* Replace(Node* node, const PLpgSQL_function* function) {
  if (node == nullptr) return nullptr;
  if (IsA(node, Param)) {
    auto* const param = reinterpret_cast<Param*>(node);
    bool const variable = param->paramkind == PARAM_EXTERN && param->paramid > 0 && param->paramid <= function->ndatums;
    Const* const value = variable ? ValueOf(function->datums[param->paramid - 1]) : nullptr;
    if (value == nullptr) return static_cast<Node*>(copyObjectImpl(node));
    value->location = param->location;
    return reinterpret_cast<Node*>(value);
  }
  auto* const mutator = reinterpret_cast<Node* (*)()>(reinterpret_cast<void*>(Replace));
  auto* const context = const_cast<PLpgSQL_function*>(function);
  if (IsA(node, Query)) return reinterpret_cast<Node*>(query_tree_mutator(reinterpret_cast<Query*>(node), mutator, context, 0));
  return expression_tree_mutator(node, mutator, context);
}

bool HasConstants(const PLpgSQL_function* function) {
  for (int i = 0; i < function->ndatums; i++) {
    auto* const variable = reinterpret_cast<const PLpgSQL_var*>(function->datums[i]);
    if (variable->dtype == PLPGSQL_DTYPE_VAR && variable->isconst && variable->default_val != nullptr) return true;
  }
  return false;
}

bool IsPlpgsqls(const ParseState* parse) {
  static ParseParamRefHook theirs = nullptr;
  if (parse->p_ref_hook_state == nullptr || parse->p_paramref_hook == nullptr) return false;
  if (theirs == nullptr) {
    auto* const setup = reinterpret_cast<void (*)(ParseState*, PLpgSQL_expr*)>(
        reinterpret_cast<void*>(load_external_function("$libdir/plpgsql", "plpgsql_parser_setup", true, nullptr)));
    ParseState* const example = make_parsestate(nullptr);
    setup(example, nullptr);
    theirs = example->p_paramref_hook;
    free_parsestate(example);
  }
  return parse->p_paramref_hook == theirs;
}

void OnParse(ParseState* parse, Query* query, JumbleState* jumble) {
  if (previous_post_parse_analyze) previous_post_parse_analyze(parse, query, jumble);
  if (!IsOwnWorker() || !IsPlpgsqls(parse)) return;
  const PLpgSQL_function* const function = static_cast<PLpgSQL_expr*>(parse->p_ref_hook_state)->func;
  if (function != nullptr) *query = *WithConstants(query, function);
}

}  // namespace

Query* WithConstants(Query* query, const PLpgSQL_function* function) {
  if (query->commandType == CMD_UTILITY || !HasConstants(function)) return query;
  return reinterpret_cast<Query*>(Replace(reinterpret_cast<Node*>(query), function));
}

void InitConstants() {
  previous_post_parse_analyze = post_parse_analyze_hook;
  post_parse_analyze_hook = OnParse;
}

}  // namespace dadbs::pg::contract
