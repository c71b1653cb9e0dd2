/*
 * progress.cpp: see progress.h.
 */
#include "dadbs/pg/records.h"

#include "progress.h"

extern "C" {
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_table_work);
}

namespace dadbs::pg::verify {
namespace {

bool InUse(const TableWork& work) { return work.pid != 0 && BackendPidGetProc(work.pid) != nullptr; }

}  // namespace

Working::Working(const char* operation) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (TableWork& work : shared->table_work) {
    if (InUse(work)) continue;
    slot_ = &work;
    work = {};
    work.pid = MyProcPid;
    strlcpy(work.operation, operation, sizeof(work.operation));
    work.since = GetCurrentTimestamp();
    break;
  }
  LWLockRelease(shared->lock);
}

Working::~Working() {
  if (slot_ == nullptr) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  slot_->pid = 0;
  LWLockRelease(shared->lock);
}

void Working::Phase(const char* phase, const char* table, uint64 total) {
  if (slot_ == nullptr) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  strlcpy(slot_->phase, phase, sizeof(slot_->phase));
  strlcpy(slot_->table, table, sizeof(slot_->table));
  slot_->done = 0;
  slot_->total = total;
  LWLockRelease(shared->lock);
}

void Working::Done(uint64 done) {
  if (slot_ == nullptr) return;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  slot_->done = done;
  LWLockRelease(shared->lock);
}

}  // namespace dadbs::pg::verify

extern "C" Datum dadbs_table_work(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  return Enter([&]() -> Datum {
    ReturnSetInfo* const set = BeginSet(fcinfo);
    if (shared == nullptr) return Datum(0);
    TableWork works[kTableWorksMax];
    LWLockAcquire(shared->lock, LW_SHARED);
    memcpy(works, shared->table_work, sizeof(works));
    LWLockRelease(shared->lock);
    for (const TableWork& work : works) {
      if (work.pid == 0 || BackendPidGetProc(work.pid) == nullptr) continue;
      Row row;
      row.Int32(work.pid).Text(work.operation).Text(work.phase).TextOrNull(work.table).Int64(static_cast<int64>(work.done));
      row.Int64(static_cast<int64>(work.total)).Time(work.since).Put(set);
    }
    return Datum(0);
  });
}
