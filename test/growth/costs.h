/*
 * costs.h: what signing, verifying, hashing and sending cost on this machine, and how much of the first three a member has done.
 *
 * Measured once, in processor time, before the run. Hashing is counted where the core calls OpenSSL (the linker's --wrap puts
 * costs.cpp in front), so nothing of the core has to know.
 */
#pragma once

#include <cstdint>
#include <string>

#include "../sim/model_crypto.h"

namespace dadbs::growth {

// Of what a member does in the run; the model's own hashes are not counted.
struct Work {
  uint64_t signatures = 0, verifications = 0, hashes = 0, hashed_bytes = 0;
};
extern Work work;

struct Costs {
  double sign_us = 0, verify_us = 0;
  double hash_us = 0, hash_byte_us = 0;        // a digest, and each byte of it
  double message_us = 0, message_byte_us = 0;  // encoded, encrypted, written at one end, or read, decrypted, decoded at the other
  int64_t Of(const Work& done) const;
  int64_t OfMessage(uint64_t bytes) const { return static_cast<int64_t>(message_us + message_byte_us * static_cast<double>(bytes)); }
  std::string Text() const;
};
Costs MeasureCosts();

// The simulator's table of signatures, with counts.
class CountingVerifier : public core::Verifier {
 public:
  explicit CountingVerifier(sim::SignatureTable* table) : table_(table) {}
  bool Verify(const core::PublicKey& key, core::ByteView message, const core::Signature& signature) const override;

 private:
  sim::SignatureTable* table_;
};

class CountingSigner : public core::Signer {
 public:
  CountingSigner(sim::SignatureTable* table, core::PublicKey key) : table_(table), key_(key) {}
  core::Signature Sign(core::ByteView message) const override;
  core::PublicKey public_key() const override { return key_; }

 private:
  sim::SignatureTable* table_;
  core::PublicKey key_;
};

}  // namespace dadbs::growth
