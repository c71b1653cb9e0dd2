/*
 * digest_exchange.cpp: see digest_exchange.h.
 */
#include "dadbs/core/digest_exchange.h"

#include <algorithm>
#include <cstdlib>

#include "dadbs/core/quorum.h"
#include "replica_mutation.h"

namespace dadbs::core {

DigestExchange::DigestExchange(NodeId self, const Genesis& genesis, const Signer& signer, const Verifier& verifier, DigestLimits limits)
    : self_(self), genesis_(genesis), signer_(signer), verifier_(verifier), limits_(limits), comparison_(self, genesis.members.size()) {}

bool DigestExchange::Due(Height height, int64_t now_us) const {
  const bool is_new = height.value != 0 && (!own_ || own_->height != height);
  if (MUTATED(kDigestSaidOnce)) return is_new;
  return is_new || (own_ && std::abs(now_us - said_us_) >= limits_.repeat_interval_us);
}

const std::optional<StateDigest>& DigestExchange::Say(Height height, const Digest& digest, Standing standing, int64_t now_us) {
  said_us_ = now_us;
  if (height.value == 0 || (own_ && own_->height == height)) return own_;
  own_ = StateDigest{height, digest, {self_, standing.incarnation, standing.journal_sequence, {}}};
  own_->envelope.signature = signer_.Sign(own_->SigningBytes({genesis_.chain_id(), Epoch{1}}));
  comparison_.Note(self_, height, digest);
  for (const Member& m : genesis_.members)
    if (const auto its = comparison_.Latest(m.id)) CompareWithOwn(m.id, its->first, its->second);
  return own_;
}

// What f + 1 others claim one honest member has: beyond it nobody has come to anything.
Height DigestExchange::HighestBelievable(Height delivered) const {
  std::vector<Height> heights;
  for (const auto& [id, height] : claims_) heights.push_back(height);
  const size_t f = FaultsTolerated(genesis_.members.size());
  Height highest = delivered;
  if (heights.size() > f) {
    std::nth_element(heights.begin(), heights.begin() + static_cast<int64_t>(f), heights.end(), std::greater<>());
    highest = std::max(highest, heights[f]);
  }
  return Height{highest.value + limits_.ahead_max};
}

// Each member says its own, so that the last one to come is the last one that it signed.
std::string DigestExchange::Receive(NodeId from, const StateDigest& state, Height delivered, int64_t now_us) {
  const bool is_believed = MUTATED(kDigestSignatureUnchecked);
  if (state.envelope.signer != from && !is_believed) return "a digest of somebody else";
  const NodeId signer = state.envelope.signer;
  if (state.height > HighestBelievable(delivered) || comparison_.Knows(signer, state.height, state.digest)) return "";
  if (const auto checked = checked_us_.find(signer); checked != checked_us_.end() && std::abs(now_us - checked->second) < limits_.check_interval_us) return "";
  checked_us_[signer] = now_us;
  if (std::string why = CheckStateDigest(state, genesis_, verifier_); !why.empty() && !is_believed) return why;
  const Height height = MUTATED(kDigestHeightUnbound) && own_ ? own_->height : state.height;
  comparison_.Note(signer, height, state.digest);
  CompareWithOwn(signer, height, state.digest);
  return "";
}

void DigestExchange::CompareWithOwn(NodeId whose, Height height, const Digest& digest) {
  if (own_ && own_->height == height && own_->digest != digest) differing_.push_back(whose);
}

}  // namespace dadbs::core
