/*
 * collector.cpp: see collector.h.
 *
 * The backend has counted every row per relation; the WAL must tell the same, or the transaction is refused. A
 * speculative insertion (ON CONFLICT) that lost its race counts as an insert and a delete for the backend. TRUNCATE
 * sets both counts of its relations to zero. Rows of a relation that the backend did not list were written while
 * track_counts was off.
 */
#include "collector.h"

#include <openssl/evp.h>

#include "dadbs/core/crypto.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dadbs::pg {

SaltSource::SaltSource()
    : algorithm_(EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr)), context_(EVP_CIPHER_CTX_new()) {
  if (algorithm_ == nullptr || context_ == nullptr) throw PgError(ERRCODE_INTERNAL_ERROR, "AES-256 is not available");
}

SaltSource::~SaltSource() {
  EVP_CIPHER_CTX_free(context_);
  EVP_CIPHER_free(algorithm_);
}

void SaltSource::Reseed() {
  std::array<uint8_t, 48> seed;
  if (!core::RandomBytes(seed) ||
      EVP_EncryptInit_ex2(context_, algorithm_, seed.data(), seed.data() + 32, nullptr) != 1)
    throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  used_ = filled_ = 0;
}

void SaltSource::Refill() {
  // A transaction of few changes, the common one, pays for few salts.
  filled_ = filled_ == 0 ? 4 * core::Salt::kSize : block_.size();
  int written = 0;
  block_.fill(0);
  if (EVP_EncryptUpdate(context_, block_.data(), &written, block_.data(), static_cast<int>(filled_)) != 1 ||
      written != static_cast<int>(filled_))
    throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  used_ = 0;
}

core::Salt SaltSource::Next() {
  if (used_ == filled_) Refill();
  core::Salt salt;
  memcpy(salt.bytes.data(), block_.data() + used_, core::Salt::kSize);
  used_ += core::Salt::kSize;
  return salt;
}

Collector::Collector(const ReadyMessage& ready, RowEncoder* encoder, SaltSource* salts)
    : ready_(ready), encoder_(encoder), salts_(salts) {
  counts_.reserve(ready.relations.size());
  for (const RelationCount& expected : ready.relations) counts_[expected.relation].expected = expected;
  salts_->Reseed();
}

void Collector::Add(core::ByteView change) {
  size_t const limit = static_cast<size_t>(guc_max_write_set_mb) << 20;
  if (builder_.size() + change.size() > limit)
    throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                  "the changes of the transaction take more than " + std::to_string(guc_max_write_set_mb) + " MB", "",
                  "Split the transaction, or raise dadbs.max_write_set_size.");
  builder_.Add(salts_->Next(), change);
}

Collector::Counts& Collector::CountsOf(Relation relation) {
  auto const found = counts_.find(RelationGetRelid(relation));
  if (found != counts_.end()) return found->second;
  throw PgError(kErrState,
                std::string("table \"") + RelationGetRelationName(relation) + "\" was changed without being counted",
                "", "Keep track_counts on while shared tables are written.");
}

void Collector::OnRow(char op, Relation relation, HeapTuple old_key, HeapTuple row) {
  Counts& counts = CountsOf(relation);
  if (counts.expected.ignored) return;
  uint64_t& seen = op == 'I' ? counts.seen.inserted : op == 'U' ? counts.seen.updated : counts.seen.deleted;
  seen++;
  Add(encoder_->EncodeRow(op, relation, old_key, row, &is_doubtful_));
}

// Partitioned tables have no rows and are not counted: they go with their partitions.
bool Collector::IsTruncatedHere(Relation relation) {
  if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) return true;
  Counts& counts = CountsOf(relation);
  if (counts.expected.ignored) return false;
  counts.seen = {};
  counts.seen.truncated = true;
  truncated_rows_ = true;
  return true;
}

void Collector::OnTruncate(std::span<const Relation> relations, bool cascade, bool restart_identity) {
  core::TruncateChange change;
  change.cascade = cascade;
  change.restart_identity = restart_identity;
  truncated_rows_ = false;
  for (Relation relation : relations) {
    if (!IsTruncatedHere(relation)) continue;
    const char* const schema = Call([&] { return get_namespace_name(RelationGetNamespace(relation)); });
    if (schema == nullptr) throw PgError(ERRCODE_INTERNAL_ERROR, "the schema of a truncated table is gone");
    change.relations.push_back({schema, RelationGetRelationName(relation)});
  }
  if (truncated_rows_) Add(core::EncodeChange(change));
}

void Collector::OnMessage(core::ByteView message) {
  if (CheckMessage(message, shared->secret) != 'C') return;  // somebody else's
  auto const change = DecodeChangeMessage(message);
  if (!change || change->xid != ready_.xid) return;
  messages_++;
  Add(change->change);
}

void Collector::OnSpeculativeAbort(Oid relation) {
  auto const found = counts_.find(relation);
  if (found == counts_.end()) return;  // its TOAST table's
  found->second.seen.inserted++;
  found->second.seen.deleted++;
}

void Collector::CheckComplete() const {
  bool equal = messages_ == ready_.emitted;
  for (const auto& [oid, c] : counts_) {
    if (c.expected.ignored) continue;
    equal &= c.expected.truncated == c.seen.truncated && c.expected.inserted == c.seen.inserted &&
             c.expected.updated == c.seen.updated && c.expected.deleted == c.seen.deleted;
  }
  if (equal) return;
  throw PgError(kErrConflict, "could not commit: the changes found in the WAL are not those that the session counted",
                "The session counted " + std::to_string(ready_.emitted) + " definitions and the rows of " +
                    std::to_string(counts_.size()) + " tables; " + std::to_string(builder_.count()) +
                    " changes were found.",
                "Retry the transaction. If it fails again, this is a bug.");
}

}  // namespace dadbs::pg
