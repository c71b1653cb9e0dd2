/*
 * steps.cpp: what may stand in a proposal: statements that define shared objects, TRUNCATE, and calls of dadbs.deploy_contract,
 * dadbs.drop_contract, dadbs.protect_table and dadbs.set_contract_statement_limit with literal arguments, each as SELECT f(...).
 *
 * Read from the text on every member, at the position and before it in the proposer's session: what the members approve is the
 * text that they see, nothing that travels beside it.
 */
#include "proposal.h"

#include "../ddl/internal.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/table.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
}

namespace dadbs::pg::contract {
namespace {

constexpr int kStepsMax = 1000;
constexpr int kArgumentsMax = 6;
constexpr char kHint[] =
    "A proposal holds definitions, TRUNCATE, and SELECT dadbs.deploy_contract(...), dadbs.drop_contract(...), dadbs.protect_table(...) or "
    "dadbs.set_contract_statement_limit(...).";

[[noreturn]] void RaiseNotProposed(const char* what) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s cannot be proposed", what), errhint("%s", kHint)));
  pg_unreachable();
}

// A literal, null where it is NULL.
char* Literal(Node* node) {
  if (IsA(node, TypeCast)) node = reinterpret_cast<TypeCast*>(node)->arg;
  if (!IsA(node, A_Const)) RaiseNotProposed("a call with arguments that are no literals");
  auto* const constant = reinterpret_cast<A_Const*>(node);
  if (constant->isnull) return nullptr;
  if (nodeTag(&constant->val) != T_String) RaiseNotProposed("a call with arguments that are no strings");
  return pstrdup(strVal(&constant->val));
}

using ArgumentNames = const char* const[kArgumentsMax];

// By position or name; what is not given is null.
void ReadArguments(const FuncCall* call, ArgumentNames& names, char** out) {
  int position = 0;
  ListCell* cell;
  foreach (cell, call->args) {
    Node* node = static_cast<Node*>(lfirst(cell));
    int at = position++;
    if (IsA(node, NamedArgExpr)) {
      auto* const named = reinterpret_cast<NamedArgExpr*>(node);
      for (at = 0; at < kArgumentsMax && names[at] != nullptr; at++)
        if (strcmp(names[at], named->name) == 0) break;
      node = reinterpret_cast<Node*>(named->arg);
    }
    if (at >= kArgumentsMax || names[at] == nullptr) RaiseNotProposed("a call with other arguments than the function has");
    out[at] = Literal(node);
  }
}

void Require(const char* value, const char* name) {
  if (value == nullptr) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
}

char* Or(char* value, const char* otherwise) { return value != nullptr ? value : pstrdup(otherwise); }

void ReadDeploy(const FuncCall* call, Step* step) {
  constexpr ArgumentNames names = {"name", "body", "language", "arguments", "returns", "options"};
  char* a[kArgumentsMax] = {};
  ReadArguments(call, names, a);
  Require(a[0], "name");
  Require(a[1], "body");
  Deployment& d = step->deployment;
  d.name = a[0];
  d.body = a[1];
  d.language = Or(a[2], "plpgsql");
  d.returns = Or(a[4], a[3] == nullptr ? "trigger" : "void");
  d.arguments = Or(a[3], "");
  d.options = Or(a[5], "{}");
  if (strcmp(d.options, "{}") != 0) RaiseNotProposed("a contract with options");
  step->kind = Step::kContract;
}

void ReadDrop(const FuncCall* call, Step* step) {
  constexpr ArgumentNames names = {"name"};
  char* a[kArgumentsMax] = {};
  ReadArguments(call, names, a);
  Require(a[0], "name");
  step->deployment.drop = true;
  step->deployment.name = a[0];
  step->kind = Step::kContract;
}

// '{a,b}', as name[] is read.
List* ReadNames(char* text) {
  return Names(DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, text, NAMEOID, -1)));
}

void ReadProtect(const FuncCall* call, Step* step) {
  constexpr ArgumentNames names = {"relation", "contracts"};
  char* a[kArgumentsMax] = {};
  ReadArguments(call, names, a);
  Require(a[0], "relation");
  List* const parts = stringToQualifiedNameList(a[0]);
  // Which contracts name it could change between the votes.
  if (a[1] == nullptr) RaiseNotProposed("dadbs.protect_table() without the contracts that may write");
  step->text = ProtectionText(NameListToQuotedString(parts), ReadNames(a[1]));
  step->kind = Step::kDefinition;
}

void ReadLimit(const FuncCall* call, Step* step) {
  Node* const node = list_length(call->args) == 1 ? static_cast<Node*>(linitial(call->args)) : nullptr;
  if (node == nullptr || !IsA(node, A_Const) || nodeTag(&reinterpret_cast<A_Const*>(node)->val) != T_Integer)
    RaiseNotProposed("a limit that is no integer literal");
  step->limit = intVal(&reinterpret_cast<A_Const*>(node)->val);
  CheckStatementLimit(step->limit);
  step->kind = Step::kLimit;
}

// SELECT f(...) and nothing else.
const FuncCall* OnlyCall(Node* node) {
  auto* const select = reinterpret_cast<SelectStmt*>(node);
  bool const plain = select->fromClause == NIL && select->whereClause == nullptr && select->valuesLists == NIL && select->withClause == nullptr &&
                     select->intoClause == nullptr && select->op == SETOP_NONE && select->distinctClause == NIL &&
                     select->groupClause == NIL && select->havingClause == nullptr && select->windowClause == NIL &&
                     select->sortClause == NIL && select->limitOffset == nullptr && select->limitCount == nullptr &&
                     select->lockingClause == NIL && list_length(select->targetList) == 1;
  Node* const value = plain ? linitial_node(ResTarget, select->targetList)->val : nullptr;
  if (value == nullptr || !IsA(value, FuncCall)) RaiseNotProposed("this SELECT");
  auto* const call = reinterpret_cast<FuncCall*>(value);
  if (call->agg_order != NIL || call->agg_filter != nullptr || call->over != nullptr || call->agg_star || call->agg_distinct ||
      call->func_variadic || list_length(call->funcname) != 2 || strcmp(strVal(linitial(call->funcname)), "dadbs") != 0)
    RaiseNotProposed("this SELECT");
  return call;
}

void ReadCall(Node* node, Step* step) {
  const FuncCall* const call = OnlyCall(node);
  const char* const name = strVal(lsecond(call->funcname));
  if (strcmp(name, "deploy_contract") == 0) return ReadDeploy(call, step);
  if (strcmp(name, "drop_contract") == 0) return ReadDrop(call, step);
  if (strcmp(name, "protect_table") == 0) return ReadProtect(call, step);
  if (strcmp(name, "set_contract_statement_limit") == 0) return ReadLimit(call, step);
  RaiseNotProposed(psprintf("a call of dadbs.%s()", name));
}

void ReadStep(const char* text, const RawStmt* raw, Step* step) {
  Deployment& d = step->deployment;
  d.language = d.arguments = d.returns = d.body = d.options = d.role = d.search_path = pstrdup("");
  const char* const begin = text + raw->stmt_location;
  step->text = raw->stmt_len > 0 ? pnstrdup(begin, raw->stmt_len) : pstrdup(begin);
  if (IsA(raw->stmt, SelectStmt)) return ReadCall(raw->stmt, step);
  if (IsA(raw->stmt, TruncateStmt)) {
    step->kind = Step::kTruncate;
    return;
  }
  bool const of_roles = ddl::IsRoleStatement(raw->stmt) && !IsA(raw->stmt, GrantRoleStmt);
  if (ddl::KindOf(raw->stmt) != ddl::Kind::kDefinition || of_roles) RaiseNotProposed(CreateCommandName(raw->stmt));
  step->kind = Step::kDefinition;
}

void AddTable(List** ids, Oid relation, const Proposal& proposal) {
  if (!IsSharedRelation(relation))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a shared table", get_rel_name(relation))));
  ddl::Statement author = {};
  author.role = proposal.role;
  if (pg_class_aclcheck(relation, ddl::ExecutingRole(author), ACL_TRUNCATE) != ACLCHECK_OK)
    aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relation));
  *ids = list_append_unique_oid(*ids, relation);
}

}  // namespace

int ReadSteps(const char* text, Step** steps) {
  List* const statements = raw_parser(text, RAW_PARSE_DEFAULT);
  int const count = list_length(statements);
  if (count == 0) RaiseNotProposed("an empty statement");
  if (count > kStepsMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("a proposal holds at most %d statements", kStepsMax)));
  *steps = static_cast<Step*>(palloc0(sizeof(Step) * count));
  for (int i = 0; i < count; i++) ReadStep(text, list_nth_node(RawStmt, statements, i), &(*steps)[i]);
  return count;
}

int TablesToTruncate(const Proposal& proposal, const char* text, ddl::RelName*** names, bool* restart_identity) {
  ddl::Statement environment = {};
  environment.search_path = proposal.search_path;
  int const level = ddl::EnterEnvironment(environment);
  auto* const truncate = castNode(TruncateStmt, ddl::ParseOne(text));
  *restart_identity = truncate->restart_seqs;
  List* ids = NIL;
  ListCell *cell, *child;
  foreach (cell, truncate->relations) {
    auto* const name = lfirst_node(RangeVar, cell);
    Oid const relation = RangeVarGetRelid(name, AccessExclusiveLock, false);
    if (!name->inh) {
      if (get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("cannot truncate only a partitioned table")));
      AddTable(&ids, relation, proposal);
      continue;
    }
    foreach (child, find_all_inheritors(relation, AccessExclusiveLock, nullptr)) AddTable(&ids, lfirst_oid(child), proposal);
  }
  if (truncate->behavior == DROP_CASCADE)
    for (List* more = heap_truncate_find_FKs(ids); more != NIL; more = heap_truncate_find_FKs(ids))
      foreach (cell, more) {
        LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
        AddTable(&ids, lfirst_oid(cell), proposal);
      }
  List* relations = NIL;
  foreach (cell, ids) relations = lappend(relations, table_open(lfirst_oid(cell), NoLock));
  heap_truncate_check_FKs(relations, false);
  *names = static_cast<ddl::RelName**>(palloc(sizeof(ddl::RelName*) * list_length(ids)));
  foreach (cell, relations) {
    (*names)[foreach_current_index(cell)] = ddl::MakeRelName(RelationGetRelid(static_cast<Relation>(lfirst(cell))));
    table_close(static_cast<Relation>(lfirst(cell)), NoLock);
  }
  ddl::LeaveEnvironment(level);
  return list_length(ids);
}

}  // namespace dadbs::pg::contract
