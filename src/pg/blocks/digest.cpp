/*
 * digest.cpp: see digest.h. Runs in the blocks worker, between two orders.
 *
 * The digest is folded from rows of the history that are committed and visible here, whoever wrote them (the apply worker,
 * or a backend in its turn), so a restart needs nothing but the last digest. It is taken at every kDigestInterval-th block,
 * which all members come to, and where the chain stands still, wherever that is. Each is a row of dadbs_internal.state_digest,
 * flushed before consensus learns of it and signs it: what has been signed is never computed anew.
 *
 * A session that mends this member's outcomes sets `outcomes_mended` before it changes rows, and the workers begin anew when it has
 * committed: what was folded before is not written any more.
 *
 * That this member differs is kept in dadbs_internal.divergence and read before it takes writes again after a start.
 */
#include "digest.h"

#include <algorithm>
#include <string>
#include <vector>

#include "../verify/agreed.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr uint64_t kDigestInterval = 64;  // blocks
constexpr int64_t kStill_us = 900'000;    // so long without a block: the chain stands still

void Fold(core::EffectsDigest* digest, core::Height to) {
  BeginReading();
  for (verify::OwnOutcomes own(digest->height().next(), to); digest->height() < to;) own.Next().FoldInto(digest);
  EndReading();
}

// A row; the commit flushes it, whatever the server's synchronous_commit says: the worker has its own.
template <class F>
void InsertDurably(F&& insert) {
  Call([&] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    insert();
    CommitTransactionCommand();
  });
}

void Keep(const core::EffectsDigest& digest) {
  core::Bytes const bytes(digest.digest().view().begin(), digest.digest().view().end());
  InsertDurably([&] {
    LockRelationOid(get_relname_relid("state_digest", get_namespace_oid("dadbs_internal", false)), RowExclusiveLock);
    if (pg_atomic_read_u32(&shared->outcomes_mended) != 0) ereport(ERROR, (errcode(kErrState), errmsg("this member's outcomes are being mended")));
    auto* const value = static_cast<bytea*>(palloc(VARHDRSZ + bytes.size()));
    SET_VARSIZE(value, VARHDRSZ + bytes.size());
    memcpy(VARDATA(value), bytes.data(), bytes.size());
    Datum values[] = {Int64GetDatum(digest.height().value), PointerGetDatum(value), TimestampTzGetDatum(GetCurrentTimestamp())};
    bool nulls[lengthof(values)] = {};
    InsertInternalRow("state_digest", values, nulls);
  });
}

// It is durable: consensus may sign it.
void Publish(const core::EffectsDigest& digest) {
  SpinLockAcquire(&shared->digest_mutex);
  shared->digest_height = digest.height().value;
  memcpy(shared->digest, digest.digest().bytes.data(), sizeof(shared->digest));
  SpinLockRelease(&shared->digest_mutex);
  WakeWorker(&shared->consensus);
}

int64 NumberAt(int column) {
  bool null = false;
  return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &null));
}

bool Select(const char* query) {
  Call([&] {
    if (SPI_execute(query, true, 1) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", query);
  });
  return SPI_processed > 0;
}

bool HistoryHolds(core::Height height) {
  BeginReading();
  bool const holds = Select("SELECT height FROM dadbs_internal.block ORDER BY height DESC") &&
                     static_cast<uint64_t>(NumberAt(1)) >= height.value;
  EndReading();
  return holds;
}

}  // namespace

void StateWatch::Start() {
  const Member* const member = CurrentMember();
  if (member == nullptr) throw PgError(kErrNotConfigured, "this server is not a member of a cluster");
  core::Digest const chain_id = member->genesis.chain_id();
  BeginReading();
  core::EffectsDigest last(core::Height{0}, chain_id);
  if (Select("SELECT height, digest FROM dadbs_internal.state_digest ORDER BY height DESC")) {
    core::Digest digest;
    bool null = false;
    Datum const value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null);
    bytea* const bytes = Call([&] { return DatumGetByteaPP(value); });
    if (VARSIZE_ANY_EXHDR(bytes) != digest.bytes.size())
      throw PgError(ERRCODE_DATA_CORRUPTED, "the last row of dadbs_internal.state_digest is damaged");
    memcpy(digest.bytes.data(), VARDATA_ANY(bytes), digest.bytes.size());
    last = {core::Height{static_cast<uint64_t>(NumberAt(1))}, digest};
  }
  Divergence found = {};
  finding_written_ = Select("SELECT height, agreed, no_quorum::integer::bigint FROM dadbs_internal.divergence ORDER BY height");
  if (finding_written_) found = {static_cast<uint64>(NumberAt(1)), static_cast<uint64>(NumberAt(2)), NumberAt(3) != 0, {}};
  EndReading();
  memcpy(found.chain_id, chain_id.bytes.data(), sizeof(found.chain_id));
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  // What was found before and not written yet stays; another cluster's does not.
  bool const keep = !finding_written_ && memcmp(shared->divergence.chain_id, found.chain_id, sizeof(found.chain_id)) == 0;
  if (!keep) shared->divergence = found;
  LWLockRelease(shared->lock);
  pg_atomic_write_u32(&shared->divergence_known, 1);
  at_ = last;
  Publish(last);
}

void StateWatch::NoteFinding() {
  LWLockAcquire(shared->lock, LW_SHARED);
  Divergence const found = shared->divergence;
  LWLockRelease(shared->lock);
  if (found.height == 0) finding_written_ = false;  // this member is equal again
  if (found.height == 0 || finding_written_) return;
  InsertDurably([&] {
    Async_Notify("dadbs", psprintf("{\"event\": \"diverged\", \"agreed\": " UINT64_FORMAT ", \"height\": " UINT64_FORMAT ", \"no_quorum\": %s}",
                                   found.agreed, found.height, found.no_quorum ? "true" : "false"));
    Datum values[11] = {Int64GetDatum(found.height), Int64GetDatum(found.agreed), BoolGetDatum(found.no_quorum),
                        TimestampTzGetDatum(GetCurrentTimestamp())};
    bool nulls[lengthof(values)] = {false, false, false, false, true, true, true, true, true, true, true};
    InsertInternalRow("divergence", values, nulls);
  });
  finding_written_ = true;
}


// Up to where the next digest goes; where it stands: nothing is to be done now.
core::Height StateWatch::Target() {
  core::Height const applied = core::WholeBlocks(Applied());
  TimestampTz const now = GetCurrentTimestamp();
  if (applied != seen_ || now < seen_at_) seen_ = applied, seen_at_ = now;  // or the clock was set back
  core::Height const next{(at_->height().value / kDigestInterval + 1) * kDigestInterval};
  if (applied >= next) return next;
  return applied > at_->height() && now - seen_at_ >= kStill_us ? applied : at_->height();
}

bool StateWatch::Step() {
  if (!at_) Start();
  if (shared->apply == nullptr) return false;  // `applied` may be another cluster's
  if (pg_atomic_read_u32(&shared->outcomes_mended) != 0) return false;  // another worker set goes on
  NoteFinding();
  if (finding_written_) naming_.Step();
  core::Height const target = Target();
  if (target <= at_->height() || !HistoryHolds(target)) return false;
  core::EffectsDigest digest = *at_;
  Fold(&digest, target);
  Keep(digest);
  Publish(digest);
  at_ = digest;
  return true;
}

}  // namespace dadbs::pg
