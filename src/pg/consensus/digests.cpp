/*
 * digests.cpp: see digests.h. Nothing of consensus depends on it: a digest is lost, late or false without any harm to order.
 *
 * The comparison is in memory and begins anew with each worker set; what it has found stands in shared memory, and the blocks
 * worker writes it down.
 */
#include "digests.h"

#include "faults.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/worker.h"

namespace dadbs::pg {
namespace {

constexpr int64_t kRepeatInterval_us = 5'000'000;  // messages get lost
constexpr int64_t kCheckInterval_us = 20'000;      // of one member's signatures; what is skipped comes again

}  // namespace

Digests::Digests(const Member& member, const core::Signer& signer)
    : member_(member), signer_(signer), comparison_(member.self, member.genesis.members.size()) {
  // Of an earlier worker set, perhaps of another cluster: the blocks worker says it again.
  pg_atomic_write_u32(&shared->divergence_known, 0);
  SpinLockAcquire(&shared->digest_mutex);
  shared->digest_height = 0;
  SpinLockRelease(&shared->digest_mutex);
}

bool Digests::Due(int64_t now_us) const {
  SpinLockAcquire(&shared->digest_mutex);
  core::Height const height{shared->digest_height};
  SpinLockRelease(&shared->digest_mutex);
  bool const is_new = height.value != 0 && (!own_ || own_->height != height);
  return is_new || (own_ && std::abs(now_us - sent_us_) >= kRepeatInterval_us);
}

void Digests::TakeOwn(uint64_t incarnation, uint64_t journal_sequence) {
  core::StateDigest state;
  SpinLockAcquire(&shared->digest_mutex);
  state.height = core::Height{shared->digest_height};
  memcpy(state.digest.bytes.data(), shared->digest, sizeof(shared->digest));
  SpinLockRelease(&shared->digest_mutex);
  if (state.height.value == 0 || (own_ && own_->height == state.height)) return;
  state.envelope = {member_.self, incarnation, journal_sequence, {}};
  state.envelope.signature = signer_.Sign(state.SigningBytes({member_.genesis.chain_id(), core::Epoch{1}}));
  comparison_.Note(member_.self, state.height, state.digest);
  own_ = state;
  for (const core::Member& m : member_.genesis.members)
    if (auto const its = comparison_.Latest(m.id)) CompareWithOwn(m.id, its->first, its->second);
}

void Digests::Step(uint64_t incarnation, uint64_t journal_sequence, int64_t now_us, const Send& send) {
  TakeOwn(incarnation, journal_sequence);
  if (!own_) return;
  sent_us_ = now_us;
  send(core::kNobody, core::StateDigestMessage{*own_});
  Publish();
}

void Digests::Greet(core::NodeId peer, const Send& send) const {
  if (own_) send(peer, core::StateDigestMessage{*own_});
}

// Each member says its own, so that the last one to come is the last one that it signed.
std::string Digests::Receive(core::NodeId from, const core::StateDigest& state, core::Height highest, int64_t now_us) {
  if (state.envelope.signer != from) return "a digest of somebody else";
  if (state.height > highest || comparison_.Knows(from, state.height, state.digest)) return "";
  int64_t& checked_us = checked_us_[from];
  if (checked_us != 0 && std::abs(now_us - checked_us) < kCheckInterval_us) return "";
  checked_us = now_us;
  if (std::string why = core::CheckStateDigest(state, member_.genesis, core::Ed25519Verifier()); !why.empty()) return why;
  comparison_.Note(from, state.height, state.digest);
  CompareWithOwn(from, state.height, state.digest);
  Publish();
  return "";
}

// Which of the two is right is for a quorum to say.
void Digests::CompareWithOwn(core::NodeId whose, core::Height height, const core::Digest& digest) const {
  if (own_ && own_->height == height && own_->digest != digest) CountFault(whose, "another digest");
}

void Digests::Publish() {
  if (!comparison_.finding()) return;
  const core::DigestComparison::Finding& found = *comparison_.finding();
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  bool const is_new = shared->divergence.height == 0;
  if (is_new) {
    shared->divergence = {found.height.value, found.agreed.value, found.no_quorum, {}};
    memcpy(shared->divergence.chain_id, member_.genesis.chain_id().bytes.data(), sizeof(shared->divergence.chain_id));
  }
  LWLockRelease(shared->lock);
  if (is_new) WakeWorker(&shared->blocks);
}

}  // namespace dadbs::pg
