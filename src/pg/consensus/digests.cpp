/*
 * digests.cpp: see digests.h.
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

// The last one that is durable; height 0: there is none.
std::pair<core::Height, core::Digest> LastDurable() {
  std::pair<core::Height, core::Digest> last;
  SpinLockAcquire(&shared->digest_mutex);
  last.first.value = shared->digest_height;
  memcpy(last.second.bytes.data(), shared->digest, sizeof(shared->digest));
  SpinLockRelease(&shared->digest_mutex);
  return last;
}

}  // namespace

Digests::Digests(const Member& member, const core::Signer& signer)
    : member_(member), exchange_(member.self, member.genesis, signer, core::Ed25519Verifier()) {
  // Of an earlier worker set, perhaps of another cluster: the blocks worker says it again.
  pg_atomic_write_u32(&shared->divergence_known, 0);
  SpinLockAcquire(&shared->digest_mutex);
  shared->digest_height = 0;
  SpinLockRelease(&shared->digest_mutex);
}

bool Digests::Due(int64_t now_us) const { return exchange_.Due(LastDurable().first, now_us); }

void Digests::Step(core::DigestExchange::Standing standing, int64_t now_us, const Send& send) {
  auto const [height, digest] = LastDurable();
  auto const& own = exchange_.Say(height, digest, standing, now_us);
  if (!own) return;
  send(core::kNobody, core::StateDigestMessage{*own});
  Publish();
}

void Digests::Greet(core::NodeId peer, const Send& send) const {
  if (exchange_.own()) send(peer, core::StateDigestMessage{*exchange_.own()});
}

std::string Digests::Receive(core::NodeId from, const core::StateDigest& state, int64_t now_us) {
  std::string why = exchange_.Receive(from, state, core::Height{pg_atomic_read_u64(&shared->delivered_height)}, now_us);
  Publish();
  return why;
}

void Digests::Publish() {
  for (core::NodeId id : exchange_.TakeDiffering()) CountFault(id, "another digest");
  if (!exchange_.finding() || published_) return;
  published_ = true;
  const core::DigestComparison::Finding& found = *exchange_.finding();
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
