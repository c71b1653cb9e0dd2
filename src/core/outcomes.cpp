/*
 * outcomes.cpp: see outcomes.h.
 */
#include "dadbs/core/outcomes.h"

namespace dadbs::core {

Bytes BlockOutcomes::Encode() const {
  Writer w;
  w.Num(height);
  w.U32(static_cast<uint32_t>(transactions.size()));
  for (const Transaction& t : transactions) {
    w.U32(t.index);
    w.U8(static_cast<uint8_t>(t.verdict));
    w.Blob(t.keys);
  }
  w.U32(static_cast<uint32_t>(effects.size()));
  for (const Effect& e : effects) {
    w.U32(e.index);
    w.U32(e.ordinal);
    w.Str(e.contract);
    w.Blob(e.change);
  }
  return w.Take();
}

bool BlockOutcomes::Decode(ByteView bytes, BlockOutcomes* out) {
  Reader r(bytes);
  *out = {};
  r.Num(out->height);
  // What is written takes less than what is read: nothing is made for counts that cannot be.
  constexpr size_t kTransactionBytesMin = 9, kEffectBytesMin = 16;
  for (uint32_t n = r.U32(); n > 0 && r.ok(); n--) {
    if (out->transactions.size() >= kTransactionsPerBlockMax || n > r.remaining() / kTransactionBytesMin) return false;
    Transaction t;
    t.index = r.U32();
    uint8_t const verdict = r.U8();
    if (verdict < static_cast<uint8_t>(Verdict::kCommitted) || verdict > static_cast<uint8_t>(Verdict::kInvalid)) r.Fail();
    t.verdict = static_cast<Verdict>(verdict);
    ByteView const keys = r.Blob();
    t.keys.assign(keys.begin(), keys.end());
    out->transactions.push_back(std::move(t));
  }
  for (uint32_t n = r.U32(); n > 0 && r.ok(); n--) {
    if (n > r.remaining() / kEffectBytesMin) return false;
    Effect e;
    e.index = r.U32();
    e.ordinal = r.U32();
    e.contract = r.Str();
    ByteView const change = r.Blob();
    e.change.assign(change.begin(), change.end());
    out->effects.push_back(std::move(e));
  }
  return r.Done();
}

void BlockOutcomes::FoldInto(EffectsDigest* digest) const {
  digest->BeginBlock(height);
  for (const Transaction& t : transactions) digest->AddTransaction(t.index, t.verdict, t.keys);
  for (const Effect& e : effects) digest->AddEffect(e.index, e.contract, e.change);
}

Bytes StoredBlock::Encode() const {
  Writer w;
  w.Blob(block);
  w.Blob(certificate);
  w.U32(static_cast<uint32_t>(batch_bodies.size()));
  for (const Bytes& body : batch_bodies) w.Blob(body);
  return w.Take();
}

bool StoredBlock::Decode(ByteView bytes, StoredBlock* out) {
  Reader r(bytes);
  *out = {};
  ByteView const block = r.Blob(), certificate = r.Blob();
  out->block.assign(block.begin(), block.end());
  out->certificate.assign(certificate.begin(), certificate.end());
  for (uint32_t n = r.U32(); n > 0 && r.ok(); n--) {
    ByteView const body = r.Blob();
    out->batch_bodies.emplace_back(body.begin(), body.end());
  }
  return r.Done();
}

}  // namespace dadbs::core
