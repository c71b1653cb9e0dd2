/*
 * applier.cpp: the way of a block through this member.
 *
 * For each transaction in order the apply worker decides (certify.cpp): refused, executed by the apply worker, or its
 * turn is passed to the local backend that waits with its rows in place.
 *
 * What the apply worker executes is gathered in a run (run.cpp), one local transaction over many positions, blocks
 * included. A run is optimistic: the first failure rolls it back, what was good in it is done again, and the one that
 * failed goes alone, where its failure becomes its verdict or, if it is this member's own, is retried. Consecutive
 * local transactions form a chain (chain.cpp), certified together, after the run before them is committed: visibility
 * follows positions. DDL goes alone: what it makes may not be used in the transaction that made it, and now() is its
 * block's. So does what drives or calls contracts: what a function of an earlier position has left in this process's local transaction
 * must not reach them.
 *
 * The certification index holds what is committed or as good as. What was executed in a run is: executed once more from
 * the same state it gives the same, so it stays in the index when the run is rolled back and done again, and it is
 * never certified twice (or it would conflict with itself). The links of a chain are taken back out if they end
 * otherwise: until then whoever clashes with one of them waits for the end of the chain.
 *
 * A crash loses the open run. History and data were to be committed together, so the start finds the last position that
 * is there, and the journal still holds everything after it.
 */
#include "applier.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xlog.h"
#include "utils/memutils.h"
}

namespace dadbs::pg {

Applier::Applier(core::NodeId self, core::Certifier certifier, const Recovered& recovered)
    : self_(self), certifier_(std::move(certifier)), recovered_(recovered), height_(recovered.whole), vote_answers_(self) {
  context_ = Call([] { return AllocSetContextCreate(TopMemoryContext, "dadbs position", ALLOCSET_DEFAULT_SIZES); });
}

void Applier::Apply(const std::shared_ptr<const DeliveredBlock>& block) {
  DADBS_CHECK(block->height() == height_.next());
  height_ = block->height();
  certifier_.BeginBlock(height_);

  uint32_t first = 0;
  if (recovered_.block_written) {  // the start found a part of this block
    first = recovered_.partial;
    recovered_.block_written = false;
  } else {
    Add({block, nullptr});
  }
  Works const works = MakeWorks(*block, first);
  waiters_.Scan(self_);
  for (size_t at = 0; at < works.size();) at = ApplyFrom(works, at);
  NoteIncarnations(*block->block);
}

Applier::Works Applier::MakeWorks(const DeliveredBlock& block, uint32_t from) const {
  Works works;
  uint32_t index = 0;
  for (const auto& batch : block.batches) {
    for (uint32_t i = 0; i < batch->header.count; i++, index++) {
      if (index < from) continue;
      auto work = std::make_shared<Work>();
      work->batch = batch;
      work->position = {block.height(), index};
      work->applied_after = core::PrefixAfter(work->position);
      work->block_time_us = block.block->header.time_us;
      work->id = {batch->header.origin, batch->header.incarnation, batch->header.first_number + i};
      work->bytes = batch->write_sets[i];
      works.push_back(std::move(work));
    }
  }
  if (!works.empty()) works.back()->applied_after = core::PrefixWholeBlock(block.height());
  return works;
}

// Carries out works[at] and perhaps what follows it; returns where to go on.
size_t Applier::ApplyFrom(const Works& works, size_t at) {
  const std::shared_ptr<Work>& work = works[at];
  if (work->id.origin == self_ && !work->parsed) work->waiter = waiters_.Find(work->id.incarnation, work->id.number);
  Parse(work.get());
  if (work->suspect || work->has_ddl() || work->calls() || work->evidence()) {
    Settle();
    Alone({nullptr, work});
    return at + 1;
  }
  Chain chain;
  size_t next = at + 1;
  try {
    Cancellable const while_executed;
    OpenRun(work->block_time_us);
    Decision const decision = Decide(work.get());
    if (decision == Decision::kExecute && work->nature.contracts) {
      Settle();
      Alone({nullptr, work});
      return next;
    }
    if (decision == Decision::kTakeTurn) next = CollectChain(works, at, &chain);
  } catch (const PgError& e) {
    if (IsHalt(e)) throw;
    DropChain(&chain);
    work->suspect = true;
    Redo(AbortRun());
    return at;
  }
  if (chain.empty())
    Add({nullptr, work});
  else
    PassTurns(&chain);
  return next;
}

void Applier::NoteIncarnations(const core::Block& block) {
  for (const core::Item& item : block.items) {
    const auto* const entry = std::get_if<core::IncarnationEntry>(&item);
    if (entry == nullptr || entry->origin != self_) continue;
    Settle();  // those that are on the chain get their outcome first
    CloseIncarnations(self_, entry->incarnation);
    pg_atomic_write_u64(&shared->own_incarnation_height, block.header.height.value);
    pg_write_barrier();
    pg_atomic_write_u64(&shared->own_incarnation, entry->incarnation);
  }
}

void Applier::Settle() {
  if (!open_) return;
  try {
    CommitRun();
  } catch (const PgError& e) {
    if (IsHalt(e)) throw;
    Redo(AbortRun());
  }
}

void Applier::NoteApplied(core::Prefix applied) {
  if (applied != core::PrefixWholeBlock(core::PrefixHeight(applied))) return;
  undurable_.emplace_back(core::PrefixHeight(applied), GetXLogInsertRecPtr());
  // Where definitions have changed it stands there already (PublishSchemaPosition); otherwise it follows, so that
  // schema bases stay in the window.
  pg_atomic_write_u64(&shared->schema_position, applied.value);
}

// Tells consensus up to which block the journal is not needed any more for a replay.
void Applier::PublishDurable() {
  if (undurable_.empty()) return;
  XLogRecPtr const flushed = GetFlushRecPtr(nullptr);
  while (!undurable_.empty() && undurable_.front().second <= flushed) {
    pg_atomic_write_u64(&shared->durable_applied_height, undurable_.front().first.value);
    undurable_.pop_front();
  }
}

}  // namespace dadbs::pg
