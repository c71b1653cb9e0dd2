/*
 * collector.h: one transaction's changes as a write set, counted against what its backend counted.
 */
#pragma once

#include <array>
#include <string>
#include <unordered_map>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/capture_messages.h"

#include "decoder.h"
#include "row_encoder.h"

struct evp_cipher_st;      // OpenSSL's EVP_CIPHER
struct evp_cipher_ctx_st;  // and EVP_CIPHER_CTX

namespace dadbs::pg {

// Salts of 16 bytes: one draw from the system's generator per transaction, expanded by AES-256 in counter mode.
class SaltSource {
 public:
  SaltSource();
  ~SaltSource();
  SaltSource(const SaltSource&) = delete;
  SaltSource& operator=(const SaltSource&) = delete;
  void Reseed();
  core::Salt Next();

 private:
  void Refill();
  static constexpr size_t kSaltsPerRefill = 64;
  evp_cipher_st* algorithm_;
  evp_cipher_ctx_st* context_;
  std::array<uint8_t, kSaltsPerRefill * core::Salt::kSize> block_;
  size_t used_ = 0;
  size_t filled_ = 0;
};

class Collector : public ChangeSink {
 public:
  Collector(const ReadyMessage& ready, RowEncoder* encoder, SaltSource* salts);

  void OnRow(char op, Relation relation, HeapTuple old_key, HeapTuple row) override;
  void OnTruncate(std::span<const Relation> relations, bool cascade, bool restart_identity) override;
  void OnMessage(core::ByteView message) override;
  void OnSpeculativeAbort(Oid relation) override;

  // What was decoded is what the backend counted; throws PgError otherwise.
  void CheckComplete() const;
  uint64_t count() const { return builder_.count(); }
  bool is_doubtful() const { return is_doubtful_; }  // there is a row that others may not read, or store, as it is here
  core::Bytes Finish(const core::WriteSetHeader& header) { return builder_.Finish(header); }

 private:
  struct Counts {
    RelationCount expected;
    RelationCount seen;
  };
  Counts& CountsOf(Relation relation);
  bool IsTruncatedHere(Relation relation);
  void Add(core::ByteView change);

  const ReadyMessage& ready_;
  RowEncoder* encoder_;
  SaltSource* salts_;
  core::WriteSetBuilder builder_{core::WriteSetKind::kRows};
  std::unordered_map<uint32_t, Counts> counts_;
  uint32_t messages_ = 0;
  bool is_doubtful_ = false;
  bool truncated_rows_ = false;  // of a shared relation, by the TRUNCATE at hand
};

}  // namespace dadbs::pg
