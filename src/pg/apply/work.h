/*
 * work.h: one transaction of the chain on its way through the apply worker, and what may be wrong with it.
 */
#pragma once

#include <memory>
#include <string>

#include "dadbs/core/certifier.h"
#include "dadbs/core/chain.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/own_failure.h"

#include "impasse.h"
#include "turn.h"

namespace dadbs::pg {

struct Work {
  std::shared_ptr<const core::Batch> batch;  // keeps the bytes that the views point into
  core::Position position;
  core::Prefix applied_after;                // what applied becomes when this is committed
  int64_t block_time_us = 0;
  core::TransactionId id;
  core::ByteView bytes;
  LocalWaiter waiter;

  // Parse
  bool parsed = false;
  core::WriteSetView view;

  // Certification
  bool keyed = false;
  WriteSetNature nature;        // where its tables have contracts it goes alone, at its origin too
  bool certified = false;       // passed: not asked again when its execution is retried
  bool suspect = false;         // failed inside a run: goes alone
  bool recorded = false;        // its keys are in the index
  bool writing_row = false;     // what fails now is this member's history, not the transaction
  core::KeyList row_keys;       // compared with the base
  core::KeyList schema_keys;    // with the schema base
  core::KeyList written_keys;   // by DDL and contracts as they ran
  std::vector<ContractRun> runs;  // contracts that ran last time, up to what they raised
  Passage passage = Passage::kUndecided;  // what members have said, where it was put to the vote

  // Kept once found, whatever happens to its execution: kUnknown until then.
  core::Verdict verdict = core::Verdict::kUnknown;
  Answer refusal;

  bool lone_ddl() const { return parsed && view.kind == core::WriteSetKind::kLoneDdl; }
  bool calls() const { return parsed && view.kind == core::WriteSetKind::kCalls; }
  bool is_vote() const { return parsed && view.kind == core::WriteSetKind::kVote; }
  bool evidence() const { return parsed && view.kind == core::WriteSetKind::kEvidence; }
  bool of_plain_rows() const { return parsed && view.kind == core::WriteSetKind::kRows && view.header.flags == 0 && !nature.contracts; }
  bool takes_turn_first() const { return lone_ddl() || calls() || is_vote() || evidence(); }
  bool has_ddl() const { return lone_ddl() || (parsed && (view.header.flags & core::kHasDdl) != 0); }
  // What the origin's session may have judged otherwise than those who apply the rows is executed there, too: the verdict is that of the others.
  bool fits_fast_path() const { return of_plain_rows() && !nature.misfit && !nature.may_leave_children; }
  AtPosition at() const { return {position, id, block_time_us, view.header.user}; }
  core::KeyList AllKeys() const;
  void Refuse(core::Verdict v, int sqlstate, std::string message, std::string detail = "", std::string hint = "");
};

// On purpose: not to be caught. That a function raises this SQLSTATE halts nobody.
inline bool IsHalt(const PgError& e) { return e.sqlstate() == kErrHalted && e.function != "exec_stmt_raise"; }

// Keeps it, or throws: InvalidWriteSet where it proves nothing.
void ExecuteEvidence(const core::EvidenceChange& change, const AtPosition& at);

// The verdict that an error raised by the transaction's own execution means. Not for own failures.
void RefuseByError(Work* work, const PgError& e);

}  // namespace dadbs::pg
