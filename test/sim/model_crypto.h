/*
 * model_crypto.h: signatures that nobody can forge, because a table knows all that were ever made; and the run's
 * randomness. Verifying is a look-up, so a seed takes milliseconds.
 */
#pragma once

#include <cstring>
#include <unordered_set>

#include "dadbs/core/crypto.h"

namespace dadbs::sim {

class SignatureTable : public core::Verifier {
 public:
  core::Signature Make(const core::PublicKey& key, core::ByteView message) {
    const core::Digest tag = Tag(key, message);
    made_.insert(tag);
    core::Signature s;
    std::memcpy(s.bytes.data(), tag.bytes.data(), 32);
    return s;
  }
  bool Verify(const core::PublicKey& key, core::ByteView message, const core::Signature& signature) const override {
    const core::Digest tag = Tag(key, message);
    return std::memcmp(signature.bytes.data(), tag.bytes.data(), 32) == 0 && made_.contains(tag);
  }

 private:
  static core::Digest Tag(const core::PublicKey& key, core::ByteView message) {
    return core::Hash(core::Domain::kSignHello, {key.view(), message});
  }
  std::unordered_set<core::Digest, core::DigestHash> made_;
};

class ModelSigner : public core::Signer {
 public:
  ModelSigner(SignatureTable* table, core::PublicKey key) : table_(table), key_(key) {}
  core::Signature Sign(core::ByteView message) const override { return table_->Make(key_, message); }
  core::PublicKey public_key() const override { return key_; }

 private:
  SignatureTable* table_;
  core::PublicKey key_;
};

// All randomness of a run: splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1.0p-53 < p; }

 private:
  uint64_t state_;
};

}  // namespace dadbs::sim
