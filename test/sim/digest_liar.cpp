/*
 * digest_liar.cpp: see digest_liar.h.
 */
#include "digest_liar.h"

#include <algorithm>

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr size_t kKeptMax = 64;

Digest Twisted(Digest digest, uint8_t by) {
  digest.bytes[7] ^= by;
  return digest;
}

}  // namespace

// The newest ones are kept.
void DigestLiar::Observe(const StateDigest& said) {
  auto const same = [&](const StateDigest& k) { return k.envelope.signer == said.envelope.signer && k.height == said.height; };
  std::erase_if(kept_, same);
  kept_.push_back(said);
  if (kept_.size() > kKeptMax) kept_.erase(kept_.begin());
}

StateDigest DigestLiar::Sign(NodeId self, const Signer& signer, Height height, const Digest& digest) const {
  StateDigest made{height, digest, {self, 1, 1, {}}};
  made.envelope.signature = signer.Sign(made.SigningBytes({genesis_.chain_id(), Epoch{1}}));
  return made;
}

// Preferably of that height, and one that is not the truth.
std::optional<StateDigest> DigestLiar::OfAnother(NodeId self, std::optional<Height> height) const {
  std::vector<const StateDigest*> others;
  for (const StateDigest& k : kept_)
    if (k.envelope.signer != self && (!height || k.height == *height)) others.push_back(&k);
  if (others.empty()) return std::nullopt;
  return *others[dice_->Below(others.size())];
}

std::vector<StateDigest> DigestLiar::Scripted(NodeId self, const Signer& signer, const StateDigest& truth) const {
  if (lies_.contains(Lie::kNoDigests)) return {};
  std::vector<StateDigest> said{truth};
  if (lies_.contains(Lie::kOtherDigests)) said = {Sign(self, signer, truth.height, Twisted(truth.digest, 1))};
  if (lies_.contains(Lie::kTwoDigests))
    said = {Sign(self, signer, truth.height, Twisted(truth.digest, 1)), Sign(self, signer, truth.height, Twisted(truth.digest, 2))};
  if (lies_.contains(Lie::kFarDigests)) said = {Sign(self, signer, Height{truth.height.value + 1000}, Twisted(truth.digest, 1))};
  if (lies_.contains(Lie::kForeignDigests)) {  // twisted, under the names of all others
    for (const Member& m : genesis_.members) {
      StateDigest foreign = Sign(self, signer, truth.height, Twisted(truth.digest, 4));
      foreign.envelope.signer = m.id;
      if (m.id != self) said.push_back(foreign);
    }
  }
  return said;
}

std::vector<StateDigest> DigestLiar::Lies(NodeId self, const Signer& signer, const StateDigest& truth) {
  if (is_scripted_) return Scripted(self, signer, truth);
  if (!habit_) habit_ = dice_->Below(9);
  const uint64_t how = dice_->Chance(0.7) ? *habit_ : dice_->Below(9);
  const StateDigest wrong = Sign(self, signer, truth.height, Twisted(truth.digest, static_cast<uint8_t>(1 + dice_->Below(3))));
  if (how == 1) return {};
  if (how == 2) return {wrong};
  if (how == 3) return {truth, wrong};  // what comes first counts, until the next one is looked at
  if (how == 4) return {Sign(self, signer, Height{truth.height.value + 1 + dice_->Below(2000)}, wrong.digest)};
  if (how == 5) {  // what another one says, in its own name: perhaps the one that differs
    if (auto its = OfAnother(self, truth.height)) return {Sign(self, signer, truth.height, its->digest)};
  }
  if (how == 6) {  // of one height, as that of another
    if (auto its = OfAnother(self, std::nullopt)) return {Sign(self, signer, truth.height, its->digest)};
  }
  if (how == 7) {  // another's words, as they are or twisted
    auto its = OfAnother(self, std::nullopt);
    if (its && dice_->Chance(0.5)) its->digest = Twisted(its->digest, 1);
    if (its) return {*its};
  }
  if (how == 8) return {dice_->Chance(0.5) ? wrong : truth};
  return {truth};
}

std::optional<std::pair<NodeId, StateDigest>> DigestLiar::Forge() {
  if (kept_.empty()) return std::nullopt;
  StateDigest one = kept_[dice_->Below(kept_.size())];
  const uint64_t how = dice_->Below(4);
  if (how == 0) return std::pair{one.envelope.signer, one};
  const NodeId through = genesis_.members[dice_->Below(genesis_.members.size())].id;
  if (how == 2) one.digest = Twisted(one.digest, 1);
  if (how == 3) one.height = one.height.next();
  if (through == one.envelope.signer) return std::nullopt;
  return std::pair{through, one};
}

}  // namespace dadbs::sim
