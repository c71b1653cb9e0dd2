/*
 * settle.cpp: when a member that had diverged is equal again: its digest is once more the one that a quorum has signed.
 */
#include "agreed.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/spi.h"
#include "nap.h"
#include "progress.h"

extern "C" {
#include "fmgr.h"

PG_FUNCTION_INFO_V1(dadbs_await_workers);
PG_FUNCTION_INFO_V1(dadbs_agrees_again);
PG_FUNCTION_INFO_V1(dadbs_forget_divergence);
PG_FUNCTION_INFO_V1(dadbs_is_diverged);
}

namespace dadbs::pg::verify {
namespace {

constexpr long kWorkersWaitMs = 60'000, kAgreementWaitMs = 120'000, kPollMs = 20;

bool WorkersRun() {
  return shared->consensus != nullptr && shared->apply != nullptr && shared->blocks != nullptr && pg_atomic_read_u32(&shared->outcomes_mended) == 0;
}

void AwaitWorkers() {
  for (int64 const begun_us = MonotonicUs(); !WorkersRun();) {
    if (MonotonicUs() - begun_us > kWorkersWaitMs * 1000)
      throw PgError(kErrState, "the workers of this member do not start", "", "dadbs.status says why. Call it again.");
    Nap(kPollMs);
  }
}

bool AgreesAgain() {
  const Member* const member = CurrentMember();
  if (member == nullptr) throw PgError(kErrNotConfigured, "this server is not a member of a cluster");
  Working working("rebuild");
  working.Phase("waiting for a digest of the others", "", 0);
  return AwaitOwnAgreement(*member, core::WholeBlocks(Applied()), kAgreementWaitMs);  // what was found up to now may come of rows that were wrong
}

// After the rows about it are gone, committed. Consensus and the blocks worker remember what they have found, so the worker set begins anew.
void Forget() {
  Cursor left("SELECT height FROM dadbs_internal.divergence", 1);
  if (!left.done()) throw PgError(kErrState, "this member is known to differ");
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  bool const was_known = shared->divergence.height != 0;
  shared->divergence = {};
  LWLockRelease(shared->lock);
  if (!was_known) return;
  pg_atomic_write_u32(&shared->outcomes_mended, 1);
  WakeWorker(&shared->apply);
}

// Or waits to be mended: it stands still, and what the others sign is of later heights.
bool IsDiverged() {
  if (pg_atomic_read_u32(&shared->history_damaged) != 0) return true;
  LWLockAcquire(shared->lock, LW_SHARED);
  bool const is_known = shared->divergence.height != 0;
  LWLockRelease(shared->lock);
  return is_known || !Cursor("SELECT height FROM dadbs_internal.divergence", 1).done();
}

}  // namespace
}  // namespace dadbs::pg::verify

using namespace dadbs::pg;

extern "C" Datum dadbs_await_workers(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([&]() -> Datum {
    verify::AwaitWorkers();
    return static_cast<Datum>(0);
  });
}

extern "C" Datum dadbs_agrees_again(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([] { return BoolGetDatum(verify::AgreesAgain()); });
}

extern "C" Datum dadbs_forget_divergence(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([&]() -> Datum {
    WithSpi(verify::Forget);
    return static_cast<Datum>(0);
  });
}

extern "C" Datum dadbs_is_diverged(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([] { return BoolGetDatum(WithSpi(verify::IsDiverged)); });
}
