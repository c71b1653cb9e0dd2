/*
 * digest_liar.h: what a faulty member says of what it has come to, and what an attacker on the network makes of what others say.
 */
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "adversary.h"
#include "dadbs/core/state_digest.h"
#include "model_crypto.h"

namespace dadbs::sim {

class DigestLiar {
 public:
  DigestLiar(Random* dice, const core::Genesis& genesis) : dice_(dice), genesis_(genesis) {}

  void Observe(const core::StateDigest& said);
  void Tell(std::optional<Lie> lie) {  // from now on nothing is random
    is_scripted_ = true;
    if (lie) lies_.insert(*lie);
  }
  // What `self` says to one member in place of the truth. With its own signature but for what it repeats of others.
  std::vector<core::StateDigest> Lies(core::NodeId self, const core::Signer& signer, const core::StateDigest& truth);
  // Something old from who said it, through somebody else, or twisted through somebody else.
  std::optional<std::pair<core::NodeId, core::StateDigest>> Forge();

 private:
  core::StateDigest Sign(core::NodeId self, const core::Signer& signer, core::Height height, const core::Digest& digest) const;
  std::vector<core::StateDigest> Scripted(core::NodeId self, const core::Signer& signer, const core::StateDigest& truth) const;
  std::optional<core::StateDigest> OfAnother(core::NodeId self, std::optional<core::Height> height) const;

  Random* dice_;
  const core::Genesis& genesis_;
  bool is_scripted_ = false;
  std::set<Lie> lies_;
  std::vector<core::StateDigest> kept_;
  std::optional<uint64_t> habit_;  // how the faulty member mostly lies
};

}  // namespace dadbs::sim
