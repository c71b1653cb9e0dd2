/*
 * certify.cpp: what becomes of a transaction at its position: a pure function of the chain and of the state before the
 * position, up to who executes it. Runs inside the open local transaction, whose rows the key derivation sees.
 */
#include "applier.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/keys.h"

extern "C" {
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

// What the header's flags must at least say: they decide who executes the transaction, and how.
uint32_t FlagsOfChanges(const core::WriteSetView& view) {
  uint32_t flags = 0;
  for (const core::ChangeView& change : view.changes) {
    char const kind = change.bytes.empty() ? '\0' : static_cast<char>(change.bytes[0]);
    if (kind == 'Q' || kind == 'S' || kind == 'K' || kind == 'P') flags |= core::kHasDdl;
    if (kind == 'T') flags |= core::kHasTruncate;
  }
  return flags;
}

bool IsRefusalByDefinition(const PgError& e) {
  switch (ERRCODE_TO_CATEGORY(e.sqlstate())) {
    case ERRCODE_FEATURE_NOT_SUPPORTED:
    case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
    case ERRCODE_PLPGSQL_ERROR:
    case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
    case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Applier::Parse(Work* work) const {
  if (work->parsed || work->verdict != core::Verdict::kUnknown) return;
  std::string why;
  if (!core::ParseWriteSet(work->bytes, &work->view, &why))
    work->Refuse(core::Verdict::kInvalid, kErrInvalidWriteSet, "malformed write set: " + why);
  else if (work->view.kind == core::WriteSetKind::kRows && (FlagsOfChanges(work->view) & ~work->view.header.flags) != 0)
    work->Refuse(core::Verdict::kInvalid, kErrInvalidWriteSet, "flags of the write set do not cover its changes");
  else if (work->view.header.schema_base > work->view.header.base)
    work->Refuse(core::Verdict::kInvalid, kErrInvalidWriteSet, "schema base is above the base");
  else
    work->parsed = true;
}

Applier::Decision Applier::Decide(Work* work) {
  if (work->verdict != core::Verdict::kUnknown) return Decision::kRefused;
  if (!work->certified && !work->takes_turn_first()) {  // for what does, nothing can have come before
    TimestampTz const began = GetCurrentTimestamp();
    DeriveKeysOf(work);
    Decision const decision = Certify(work);
    AddStage(kStageCertify, GetCurrentTimestamp() - began);
    if (decision != Decision::kExecute) return decision;
  }
  work->certified = true;
  return ChooseExecutor(work);
}

void Applier::DeriveKeysOf(Work* work) const {
  if (work->keyed) return;
  work->row_keys.clear();
  work->schema_keys.clear();
  Call([] { PushActiveSnapshot(GetTransactionSnapshot()); });
  work->nature = DeriveKeys(work->view, &work->row_keys, &work->schema_keys);
  for (const core::ChangeView& view : work->view.changes) {
    core::Change change;
    if ((work->view.header.flags & core::kHasDdl) == 0) break;
    if (!core::DecodeChange(view.bytes, &change)) continue;
    if (const auto* const ddl = std::get_if<core::DdlChange>(&change)) DdlKeys(*ddl, &work->row_keys);
    if (const auto* const contract = std::get_if<core::ContractChange>(&change)) ContractKeys(*contract, &work->row_keys);
    if (const auto* const proposal = std::get_if<core::ProposalChange>(&change)) ProposalKeys(*proposal, &work->row_keys);
  }
  core::NormalizeKeys(&work->row_keys);
  core::NormalizeKeys(&work->schema_keys);
  Call([] { PopActiveSnapshot(); });
  work->keyed = true;
}

Applier::Decision Applier::Certify(Work* work) const {
  const core::WriteSetHeader& header = work->view.header;
  ConflictKind kind = kConflictKey;
  core::Conflict conflict = certifier_.Check(work->row_keys, header.base, work->position);
  if (!conflict) {
    kind = kConflictSchema;
    conflict = certifier_.Check(work->schema_keys, header.schema_base, work->position);
  }
  if (!conflict) return Decision::kExecute;
  bool const by_key = conflict.kind == core::Conflict::Kind::kKey;
  if (by_key && undecided_from_ && conflict.with >= *undecided_from_) return Decision::kAfterChain;
  RefuseConflict(work, conflict, by_key ? kind : kConflictBaseTooOld);
  return Decision::kRefused;
}

// The local backend may commit its own rows; otherwise it has to let go of its locks, and the apply worker executes.
Applier::Decision Applier::ChooseExecutor(Work* work) const {
  if (!work->waiter) return Decision::kExecute;
  switch (LookAtWaiter(work->waiter, core::WriteSetIdentity(work->bytes))) {
    case WaiterState::kHolds:
      if (work->fits_fast_path()) return Decision::kTakeTurn;
      Doom(work->waiter);
      break;
    case WaiterState::kStranger:
      AnswerWaiter(work->waiter,
                   {Outcome::kRefused, kErrConflict, "another transaction was ordered under this one's identity", "",
                    "Retry the transaction."});
      work->waiter = {};
      break;
    case WaiterState::kLetsGo:
      break;
    case WaiterState::kGone:
      work->waiter = {};
      break;
  }
  return Decision::kExecute;
}

void Applier::RefuseConflict(Work* work, const core::Conflict& conflict, ConflictKind kind) const {
  std::string message, detail;
  switch (conflict.kind) {
    case core::Conflict::Kind::kBaseTooOld:
      message = "transaction took too long: its rows can no longer be compared with what was committed since";
      detail = "The comparison reaches back " + std::to_string(core::kCertificationWindowBlocks) + " blocks.";
      break;
    case core::Conflict::Kind::kBaseInFuture:
      message = "transaction claims to have seen positions that were not yet decided";
      break;
    default:
      message = kind == kConflictSchema
                    ? "a concurrent transaction changed the definition of a table that this one wrote"
                    : "a concurrent transaction committed changes of the same rows first";
      detail = "It stands in the chain at height " + std::to_string(conflict.with.height.value) + ", index " +
               std::to_string(conflict.with.index) + ".";
  }
  work->Refuse(core::Verdict::kConflict, kErrConflict, std::move(message), std::move(detail), "Retry the transaction.");
  pg_atomic_fetch_add_u64(&shared->conflicts[kind], 1);
}

// The keys could not be read: no honest origin's doing, unless a definition has changed under its hands, or a function of the
// group's (a domain's check, a cast) refuses the value: it would do so when the row is applied.
void Applier::RefuseUnreadable(Work* work, const PgError& e) const {
  core::KeyList definitions = work->schema_keys;
  core::NormalizeKeys(&definitions);
  if (core::Conflict const c = certifier_.Check(definitions, work->view.header.schema_base, work->position))
    RefuseConflict(work, c, kConflictSchema);
  else if (IsRefusalByDefinition(e))
    RefuseByError(work, e);
  else
    work->Refuse(core::Verdict::kInvalid, e.sqlstate(), e.message(), e.detail(), e.hint());
}

}  // namespace dadbs::pg
