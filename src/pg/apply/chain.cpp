/*
 * chain.cpp: consecutive local transactions commit their own rows, each in its turn.
 *
 * All of a chain is certified before the first turn begins: against the index, and against the undecided ones before
 * them, so whatever becomes of one link does not change the verdict of a later one. The turns are granted together;
 * each backend waits for the one before it and wakes the next, and the apply worker sleeps until the last is done or
 * one is lost. A lost one is executed here, at its place, while the later ones wait.
 */
#include "applier.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/dsm.h"
}

namespace dadbs::pg {
namespace {

constexpr size_t kChainLinksMax = 256;
constexpr long kTurnRecheckMs = 500;  // the latch is what counts; this bounds the harm of a lost wake-up

// Null where there is no room: then the transaction is replayed.
dsm_segment* ShareKeys(const core::Bytes& keys) {
  dsm_segment* segment = nullptr;
  try {
    segment = Call([&] { return dsm_create(keys.size(), DSM_CREATE_NULL_IF_MAXSEGMENTS); });
  } catch (const PgError& e) {
    Call([&] { ereport(LOG, (errcode(e.sqlstate()), errmsg("dadbs apply: a turn is not given: %s", e.what()))); });
  }
  if (segment != nullptr) memcpy(dsm_segment_address(segment), keys.data(), keys.size());
  return segment;
}

}  // namespace

// works[at] is to take its turn; so do those that follow, as far as they are local and independent. The caller's run is
// open and is left so; a PgError leaves it broken. Returns where the chain ends.
size_t Applier::CollectChain(const Works& works, size_t at, Chain* chain) {
  auto const link = [&](const std::shared_ptr<Work>& work) {
    Link made;
    made.work = work;
    core::KeyList const all = work->AllKeys();
    made.keys = core::EncodeKeys(all);
    made.grant.waiter = work->waiter;
    made.grant.position = work->position;
    made.grant.applied_after = work->applied_after;
    Record(work.get(), all);
    chain->push_back(std::move(made));
  };
  undecided_from_ = works[at]->position;
  link(works[at]);
  size_t next = at + 1;
  for (; next < works.size() && chain->size() < kChainLinksMax; next++) {
    const std::shared_ptr<Work>& work = works[next];
    if (work->id.origin != self_ || work->suspect) break;
    Parse(work.get());
    work->waiter = waiters_.Find(work->id.incarnation, work->id.number);
    if (!work->waiter || !work->fits_fast_path() || Decide(work.get()) != Decision::kTakeTurn) break;
    link(work);
  }
  return next;
}

// Last first: a link must know whether its successor takes the turn over.
void Applier::GrantAll(Chain* chain) {
  int next_procno = -1;
  for (size_t i = chain->size(); i-- > 0;) {
    Link& link = (*chain)[i];
    Grant& grant = link.grant;
    grant.next_procno = next_procno;
    grant.keys = link.keys;
    if (link.keys.size() > kTurnKeysInlineBytes) {
      link.segment = ShareKeys(link.keys);
      if (link.segment != nullptr) grant.keys_segment = dsm_segment_handle(link.segment);
    }
    bool const room = link.keys.size() <= kTurnKeysInlineBytes || link.segment != nullptr;
    link.granted = room && GrantTurn(grant);
    next_procno = link.granted ? grant.waiter.procno : -1;
  }
}

TurnState Applier::AwaitTurn(const Link& link) const {
  for (;;) {
    TurnState const state = LookAtTurn(link.grant);
    if (state != TurnState::kPending) return state;
    Call([] {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kTurnRecheckMs, PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
      CHECK_FOR_INTERRUPTS();
    });
  }
}

void Applier::PassTurns(Chain* chain) {
  Settle();
  GrantAll(chain);
  if (chain->front().granted) WakeSlot(chain->front().grant.waiter.procno);
  pg_atomic_write_u64(&shared->turn_waiting_pid, SlotOf(chain->front().grant.waiter.procno)->pid);
  for (size_t i = 0; i < chain->size(); i++) {
    Link& link = (*chain)[i];
    TurnState const state = link.granted ? AwaitTurn(link) : TurnState::kLost;
    if (state == TurnState::kCommitted)
      NoteApplied(link.work->applied_after);
    else
      Replay(chain, i);
    if (link.segment != nullptr) Call([&] { dsm_detach(link.segment); });
  }
  pg_atomic_write_u64(&shared->turn_waiting_pid, 0);
  undecided_from_.reset();
}

// The backend has let its turn go: its transaction is executed here, from the block.
void Applier::Replay(Chain* chain, size_t lost) {
  const std::shared_ptr<Work>& work = (*chain)[lost].work;
  Doom(work->waiter);
  certifier_.Rewind(work->position);
  work->recorded = false;
  Alone({nullptr, work});
  for (size_t i = lost + 1; i < chain->size(); i++) {
    const Work& later = *(*chain)[i].work;
    certifier_.Record(later.AllKeys(), later.position);
  }
  if (lost + 1 < chain->size() && (*chain)[lost + 1].granted) WakeSlot((*chain)[lost + 1].grant.waiter.procno);
}

// Nothing was granted yet.
void Applier::DropChain(Chain* chain) {
  if (chain->empty()) return;
  certifier_.Rewind(chain->front().work->position);
  for (Link& link : *chain) link.work->recorded = false;
  chain->clear();
  undecided_from_.reset();
}

}  // namespace dadbs::pg
