/*
 * outcomes.h: parts of a member's history, as one member gives them to another that has lost or spoilt its own.
 *
 * Neither is believed for who sends it. Outcomes are folded into the effects digest (state_digest.h) and compared with the one that a
 * quorum has signed; blocks carry their certificates.
 */
#pragma once

#include <string>
#include <vector>

#include "dadbs/core/state_digest.h"

namespace dadbs::core {

// What came of one block: all that its effects digest is folded from.
struct BlockOutcomes {
  struct Transaction {
    uint32_t index = 0;
    Verdict verdict = Verdict::kCommitted;
    Bytes keys;  // EncodeKeys; empty where it did not commit
    bool operator==(const Transaction&) const = default;
  };
  struct Effect {
    uint32_t index = 0;
    uint32_t ordinal = 0;  // of the transaction's effects; no part of the digest
    std::string contract;
    Bytes change;
    bool operator==(const Effect&) const = default;
  };
  Height height;
  std::vector<Transaction> transactions;  // by index
  std::vector<Effect> effects;            // by index, contract, change, ordinal

  Bytes Encode() const;
  static bool Decode(ByteView bytes, BlockOutcomes* out);
  void FoldInto(EffectsDigest* digest) const;  // which stands at the block before
  bool operator==(const BlockOutcomes&) const = default;
};

// A block as it lies in the history.
struct StoredBlock {
  Bytes block, certificate;         // Block::Encode, Certificate::Encode
  std::vector<Bytes> batch_bodies;  // in the order of its batch items

  Bytes Encode() const;
  static bool Decode(ByteView bytes, StoredBlock* out);
};

}  // namespace dadbs::core
