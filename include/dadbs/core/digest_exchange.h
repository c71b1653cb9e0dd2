/*
 * digest_exchange.h: the state digests (state_digest.h) on their way: when this member says its own, what it takes from whom, and
 * what it makes of it.
 *
 * Its owner computes the digests, makes them durable, and says here which is the last; sends what it is given; and keeps what was
 * found, which here is forgotten with each start. Nothing of consensus depends on it: a digest is lost, late or false without any
 * harm to order. Times are the owner's, in microseconds, and may step in both directions.
 */
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dadbs/core/state_digest.h"

namespace dadbs::core {

struct DigestLimits {
  int64_t repeat_interval_us = 5'000'000;  // messages get lost
  int64_t check_interval_us = 20'000;      // of one member's signatures; what is skipped comes again
  uint64_t ahead_max = 32;                 // blocks: of who is that far ahead of all that is known, nothing is kept
};

class DigestExchange {
 public:
  // With what a digest is signed: of the last record of the journal that is durable.
  struct Standing {
    uint64_t incarnation = 0, journal_sequence = 0;
  };

  // All of them live longer than it.
  DigestExchange(NodeId self, const Genesis& genesis, const Signer& signer, const Verifier& verifier, DigestLimits limits = {});

  // The last digest that this member has made durable is that of `height` (0: none yet): is there something to be said?
  bool Due(Height height, int64_t now_us) const;
  // Then this, to all. The caller knows that this member remembers what it has signed. None: there is no digest yet.
  const std::optional<StateDigest>& Say(Height height, const Digest& digest, Standing standing, int64_t now_us);
  const std::optional<StateDigest>& own() const { return own_; }  // for who connects
  void NoteClaim(NodeId from, Height committed) { claims_[from] = committed; }
  // What is wrong with it; empty: nothing. `delivered`: this member's last block.
  std::string Receive(NodeId from, const StateDigest& state, Height delivered, int64_t now_us);

  const std::optional<DigestComparison::Finding>& finding() const { return comparison_.finding(); }  // of this run
  Height agreed() const { return comparison_.agreed(); }                                             // in this run
  std::optional<std::pair<Height, Digest>> Latest(NodeId id) const { return comparison_.Latest(id); }
  // Who was seen since the last call to have another digest than this member's last one. Which of the two is right is for a
  // quorum to say.
  std::vector<NodeId> TakeDiffering() { return std::exchange(differing_, {}); }

 private:
  Height HighestBelievable(Height delivered) const;
  void CompareWithOwn(NodeId whose, Height height, const Digest& digest);

  NodeId self_;
  const Genesis& genesis_;
  const Signer& signer_;
  const Verifier& verifier_;
  DigestLimits limits_;
  DigestComparison comparison_;
  std::optional<StateDigest> own_;
  int64_t said_us_ = 0;
  std::map<NodeId, int64_t> checked_us_;  // when a signature of this member was last checked
  std::map<NodeId, Height> claims_;
  std::vector<NodeId> differing_;
};

}  // namespace dadbs::core
