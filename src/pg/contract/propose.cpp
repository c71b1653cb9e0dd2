/*
 * propose.cpp: dadbs.propose, approve_proposal and reject_proposal, in the session: what is wrong is told at once, and the change
 * travels; what comes of it is decided at its position (approval.cpp). Who may speak for a member is its owner's affair: EXECUTE
 * on these functions.
 */
#include "proposal.h"

#include "../ddl/internal.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dadbs_propose);
PG_FUNCTION_INFO_V1(dadbs_approve_proposal);
PG_FUNCTION_INFO_V1(dadbs_reject_proposal);
}

namespace dadbs::pg::contract {
namespace {

void RequireAlone(const char* what) {
  if (!SharingActive())
    ereport(ERROR, (errcode(kErrNotConfigured), errmsg("this database is not shared"),
                    errhint("Call dadbs.create_cluster or dadbs.join_cluster first.")));
  if (MyBackendType != B_BACKEND || ddl::Executing())
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s is for client sessions only", what)));
  PreventCommandIfReadOnly(what);
  PreventCommandIfParallelMode(what);
  PreventInTransactionBlock(true, what);
}

void CheckLength(const char* text, const char* what) {
  if (strlen(text) > core::kSettingBytesMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s cannot be longer than %zu bytes", what, core::kSettingBytesMax)));
}

// As if each were executed now, as far as that can be told before.
void CheckSteps(const char* text) {
  Step* steps;
  int const count = ReadSteps(text, &steps);
  for (int i = 0; i < count; i++) {
    if (steps[i].kind == Step::kContract && !steps[i].deployment.drop) Analyze(steps[i].deployment);
    if (steps[i].kind != Step::kDefinition) continue;
    Node* const node = ddl::ParseOne(steps[i].text);
    ddl::CheckTaken(node, false);
    ddl::CheckNesting(node);
  }
}

// Our tables are not the user's.
class AsOurselves {
 public:
  AsOurselves() {
    GetUserIdAndSecContext(&user_, &context_);
    SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context_ | SECURITY_LOCAL_USERID_CHANGE);
  }
  void Back() const { SetUserIdAndSecContext(user_, context_); }  // an error does it with its transaction

 private:
  Oid user_;
  int context_;
};

// Two sessions of this member must not take the same number; the apply worker makes us let go.
int64 Reserve(const char* text, const char* comment, const char* role, const char* path, uint64 lifetime) {
  AsOurselves const us;
  LockRelationOid(InternalTable("proposal"), ShareRowExclusiveLock);
  int64 const id = NextProposal();
  InsertProposal(id, text, comment, role, path, lifetime, nullptr);
  us.Back();
  return id;
}

void Emit(const core::ProposalChange& change) {
  Enter([&] { EmitChange(core::Change(change)); });
}

void Vote(int64 id, bool approves, const char* reason) {
  if (!guc_deploy_unchecked) {
    Proposal proposal = {};
    Votes votes = {};
    CheckOpen(id, static_cast<int16>(shared->self_id), core::PrefixHeight(Applied()).value, !approves, &proposal, &votes);
  } else if (id < 1) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("proposal " INT64_FORMAT " does not exist", id)));
  }
  core::ProposalChange change;
  change.op = approves ? 'A' : 'R';
  change.id = static_cast<uint64_t>(id);
  change.comment = reason;
  Emit(change);
}

}  // namespace
}  // namespace dadbs::pg::contract

using namespace dadbs::pg;

// (statement, comment, lifetime) -> id
extern "C" Datum dadbs_propose(PG_FUNCTION_ARGS) {
  contract::RequireAlone("dadbs.propose()");
  if (PG_ARGISNULL(0)) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("statement must not be null")));
  char* const statement = text_to_cstring(PG_GETARG_TEXT_PP(0));
  char* const comment = PG_ARGISNULL(1) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(1));
  int64 const lifetime = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
  if (lifetime < 1) ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lifetime must be at least one block")));
  contract::CheckLength(comment, "the comment");
  contract::CheckSteps(statement);
  dadbs::core::ProposalChange change;
  char* const role = ddl::AuthorRole();
  char* const path = ddl::TravellingSearchPath();
  int64 const id = contract::Reserve(statement, comment, role, path, static_cast<uint64>(lifetime));
  change.id = static_cast<uint64_t>(id);
  change.text = statement;
  change.comment = comment;
  change.role = role;
  change.search_path = path;
  change.lifetime = static_cast<uint64_t>(lifetime);
  contract::Emit(change);
  PG_RETURN_INT64(id);
}

extern "C" Datum dadbs_approve_proposal(PG_FUNCTION_ARGS) {
  contract::RequireAlone("dadbs.approve_proposal()");
  contract::Vote(PG_GETARG_INT64(0), true, "");
  PG_RETURN_VOID();
}

// (id, reason)
extern "C" Datum dadbs_reject_proposal(PG_FUNCTION_ARGS) {
  contract::RequireAlone("dadbs.reject_proposal()");
  if (PG_ARGISNULL(0)) PG_RETURN_VOID();
  char* const reason = PG_ARGISNULL(1) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(1));
  contract::CheckLength(reason, "the reason");
  contract::Vote(PG_GETARG_INT64(0), false, reason);
  PG_RETURN_VOID();
}
