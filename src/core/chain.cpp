/*
 * chain.cpp: encodings, hashes and signed bytes of genesis, batches, items, blocks and certificates.
 *
 * docs/chain-format.md describes each of them byte by byte; whoever changes a line here changes the document, and
 * kBlockFormat. All decoders take bytes from anybody. What is checked with a reason (blocks, certificates) is in
 * chain_check.cpp.
 */
#include "dadbs/core/chain.h"

#include <charconv>
#include <set>

#include "dadbs/core/check.h"
#include "dadbs/core/merkle.h"
#include "dadbs/core/write_set.h"

namespace dadbs::core {
namespace {

constexpr size_t kSignedBytes = 2 + 8 + 8 + Signature::kSize;

std::string ReadText(Reader& r) {
  const std::string_view text = r.Str();
  if (text.size() > kGenesisTextBytesMax || text.find('\0') != std::string_view::npos) {
    r.Fail();
    return {};
  }
  return std::string(text);
}

void WriteContext(Writer& w, Domain domain, const SignContext& ctx) {
  w.U8(static_cast<uint8_t>(domain));
  w.Fixed(ctx.chain_id);
  w.Num(ctx.epoch);
}

Bytes WithContext(Domain domain, const SignContext& ctx, const Bytes& fields) {
  Writer w;
  w.Reserve(1 + Digest::kSize + 8 + fields.size());
  WriteContext(w, domain, ctx);
  w.Raw(fields);
  return w.Take();
}

Member ReadMember(Reader& r) {
  Member m;
  r.Num(m.id);
  m.name = ReadText(r);
  m.address = ReadText(r);
  r.Fixed(m.key);
  return m;
}

// Ids are 1..n in order, names and keys distinct.
bool MembersAreSound(const std::vector<Member>& members) {
  std::set<std::string_view> names;
  std::set<PublicKey> keys;
  for (size_t i = 0; i < members.size(); i++) {
    const Member& m = members[i];
    if (m.id.value != i + 1 || m.name.empty() || !names.insert(m.name).second || !keys.insert(m.key).second)
      return false;
  }
  return !members.empty() && members.size() <= kNodesMax;
}

}  // namespace

// ---- genesis -------------------------------------------------------------------------------------------------------

Bytes Genesis::Encode() const {
  DADBS_CHECK(members.size() <= kNodesMax && schemas.size() <= UINT16_MAX && environment.size() <= UINT16_MAX);
  Writer w;
  w.U16(format);
  w.Fixed(nonce);
  w.I64(created_at_us);
  w.Str(cluster_name);
  w.U16(static_cast<uint16_t>(members.size()));
  for (const Member& m : members) {
    w.Num(m.id);
    w.Str(m.name);
    w.Str(m.address);
    w.Fixed(m.key);
  }
  w.U16(static_cast<uint16_t>(schemas.size()));
  for (const std::string& schema : schemas) w.Str(schema);
  w.U32(sequence_stride);
  w.U16(static_cast<uint16_t>(environment.size()));
  for (const auto& [name, value] : environment) {
    w.Str(name);
    w.Str(value);
  }
  if (approvals) w.U16(*approvals);
  return w.Take();
}

bool Genesis::Decode(ByteView bytes, Genesis* out) {
  *out = Genesis{};
  Reader r(bytes);
  out->format = r.U16();
  r.Fixed(out->nonce);
  out->created_at_us = r.I64();
  out->cluster_name = ReadText(r);
  const size_t members = r.U16();
  if (members > kNodesMax) return false;
  for (size_t i = 0; r.ok() && i < members; i++) out->members.push_back(ReadMember(r));
  const size_t schemas = r.U16();
  for (size_t i = 0; r.ok() && i < schemas; i++) out->schemas.push_back(ReadText(r));
  out->sequence_stride = r.U32();
  const size_t environment = r.U16();
  for (size_t i = 0; r.ok() && i < environment; i++) {
    std::string name = ReadText(r);
    out->environment.emplace_back(std::move(name), ReadText(r));
  }
  if (r.ok() && !r.at_end()) out->approvals = r.U16();
  const size_t needed = out->approvals_needed();
  return r.Done() && out->format == kBlockFormat && out->sequence_stride > 0 && MembersAreSound(out->members) && needed >= 1 &&
         needed <= out->members.size();
}

Digest Genesis::chain_id() const { return Hash(Domain::kGenesis, Encode()); }

const Member* Genesis::Find(NodeId id) const {
  return id.value >= 1 && id.value <= members.size() ? &members[id.value - 1] : nullptr;
}

const Member* Genesis::FindByName(std::string_view name) const {
  for (const Member& m : members)
    if (m.name == name) return &m;
  return nullptr;
}

const Member* Genesis::FindByKey(const PublicKey& key) const {
  for (const Member& m : members)
    if (m.key == key) return &m;
  return nullptr;
}

// ---- batches and items ---------------------------------------------------------------------------------------------

Bytes BatchHeader::EncodeUnsigned() const {
  Writer w;
  w.Reserve(2 + 3 * 8 + 4 + 8 + 32);
  w.Num(origin);
  w.U64(incarnation);
  w.U64(journal_sequence);
  w.U64(first_number);
  w.U32(count);
  w.U64(body_bytes);
  w.Fixed(transaction_root);
  return w.Take();
}

Bytes BatchHeader::SigningBytes(const SignContext& ctx) const {
  return WithContext(Domain::kSignBatch, ctx, EncodeUnsigned());
}

Digest BatchHeader::digest() const { return Hash(Domain::kBatch, EncodeUnsigned()); }

Bytes IncarnationEntry::EncodeUnsigned() const {
  Writer w;
  w.Num(origin);
  w.U64(incarnation);
  w.U64(journal_sequence);
  w.Fixed(nonce);
  w.Num(recent_height);
  w.Fixed(recent_hash);
  return w.Take();
}

Bytes IncarnationEntry::SigningBytes(const SignContext& ctx) const {
  return WithContext(Domain::kSignIncarnation, ctx, EncodeUnsigned());
}

Digest TransactionTreeRoot(std::span<const Digest> transaction_hashes) {
  MerkleBuilder tree;
  for (const Digest& hash : transaction_hashes) tree.Add(Hash(Domain::kTransactionLeaf, hash.view()));
  return tree.Root();
}

Bytes EncodeBatchBody(std::span<const Bytes> write_sets) {
  size_t size = 4;
  for (const Bytes& write_set : write_sets) size += 4 + write_set.size();
  Writer w;
  w.Reserve(size);
  w.U32(static_cast<uint32_t>(write_sets.size()));
  for (const Bytes& write_set : write_sets) w.Blob(write_set);
  return w.Take();
}

bool DecodeBatchBody(ByteView bytes, std::vector<Bytes>* out) {
  out->clear();
  Reader r(bytes);
  const uint32_t count = r.U32();
  if (!r.ok() || count > kTransactionsPerBlockMax || count > r.remaining() / 4) return false;
  out->reserve(count);
  for (uint32_t i = 0; r.ok() && i < count; i++) {
    const ByteView write_set = r.Blob();
    out->emplace_back(write_set.begin(), write_set.end());
  }
  return r.Done();
}

void EncodeItem(Writer& w, const Item& item) {
  const bool is_batch = std::holds_alternative<BatchHeader>(item);
  w.U8(static_cast<uint8_t>(is_batch ? ItemKind::kBatch : ItemKind::kIncarnation));
  std::visit(
      [&](const auto& entry) {
        w.Raw(entry.EncodeUnsigned());
        w.Fixed(entry.signature);
      },
      item);
}

bool DecodeItem(Reader& r, Item* out) {
  const uint8_t kind = r.U8();
  if (kind == static_cast<uint8_t>(ItemKind::kBatch)) {
    auto& b = out->emplace<BatchHeader>();
    r.Num(b.origin);
    b.incarnation = r.U64();
    b.journal_sequence = r.U64();
    b.first_number = r.U64();
    b.count = r.U32();
    b.body_bytes = r.U64();
    r.Fixed(b.transaction_root);
    r.Fixed(b.signature);
  } else if (kind == static_cast<uint8_t>(ItemKind::kIncarnation)) {
    auto& e = out->emplace<IncarnationEntry>();
    r.Num(e.origin);
    e.incarnation = r.U64();
    e.journal_sequence = r.U64();
    r.Fixed(e.nonce);
    r.Num(e.recent_height);
    r.Fixed(e.recent_hash);
    r.Fixed(e.signature);
  } else {
    r.Fail();
  }
  return r.ok();
}

Digest ItemLeaf(const Item& item) {
  Writer w;
  EncodeItem(w, item);
  return Hash(Domain::kItemLeaf, w.bytes());
}

// ---- blocks --------------------------------------------------------------------------------------------------------

Bytes BlockHeader::Encode() const {
  Writer w;
  w.Reserve(kBlockHeaderBytes);
  w.U16(format);
  w.Fixed(chain_id);
  w.Num(epoch);
  w.Num(height);
  w.Fixed(previous_hash);
  w.I64(time_us);
  w.Num(proposer);
  w.U32(item_count);
  w.U32(transaction_count);
  w.U64(body_bytes);
  w.Fixed(items_root);
  w.Fixed(transactions_root);
  return w.Take();
}

bool BlockHeader::Decode(ByteView bytes, BlockHeader* out) {
  Reader r(bytes);
  out->format = r.U16();
  r.Fixed(out->chain_id);
  r.Num(out->epoch);
  r.Num(out->height);
  r.Fixed(out->previous_hash);
  out->time_us = r.I64();
  r.Num(out->proposer);
  out->item_count = r.U32();
  out->transaction_count = r.U32();
  out->body_bytes = r.U64();
  r.Fixed(out->items_root);
  r.Fixed(out->transactions_root);
  return r.Done() && out->format == kBlockFormat;
}

Digest BlockHeader::hash() const { return Hash(Domain::kBlockHeader, Encode()); }

Bytes Block::Encode() const {
  Writer w;
  w.Blob(header.Encode());
  w.U32(static_cast<uint32_t>(items.size()));
  for (const Item& item : items) EncodeItem(w, item);
  return w.Take();
}

bool Block::Decode(ByteView bytes, Block* out) {
  out->items.clear();
  Reader r(bytes);
  if (!BlockHeader::Decode(r.Blob(), &out->header)) return false;
  const uint32_t count = r.U32();
  if (!r.ok() || count > kItemsPerBlockMax || count != out->header.item_count) return false;
  for (uint32_t i = 0; i < count; i++) {
    Item item;
    if (!DecodeItem(r, &item)) return false;
    out->items.push_back(std::move(item));
  }
  return r.Done();
}

BlockHeader Block::MakeHeader(const Digest& chain_id, Epoch epoch, const BlockHeader* parent, const Digest& parent_hash,
                              int64_t time_us, NodeId proposer, std::span<const Item> items,
                              std::span<const Digest> hashes) {
  BlockHeader h;
  h.chain_id = chain_id;
  h.epoch = epoch;
  h.height = parent == nullptr ? Height{1} : parent->height.next();
  h.previous_hash = parent_hash;
  h.time_us = time_us;
  h.proposer = proposer;
  h.item_count = static_cast<uint32_t>(items.size());
  h.transaction_count = static_cast<uint32_t>(hashes.size());
  MerkleBuilder tree;
  for (const Item& item : items) {
    tree.Add(ItemLeaf(item));
    if (const auto* batch = std::get_if<BatchHeader>(&item)) h.body_bytes += batch->body_bytes;
  }
  h.items_root = tree.Root();
  h.transactions_root = TransactionTreeRoot(hashes);
  return h;
}

// ---- votes and certificates ----------------------------------------------------------------------------------------

Writer BeginSigned(Domain domain, const SignContext& ctx, const Signed& envelope) {
  Writer w;
  WriteContext(w, domain, ctx);
  w.Num(envelope.signer);
  w.U64(envelope.incarnation);
  w.U64(envelope.journal_sequence);
  return w;
}

void WriteOptional(Writer& w, const std::optional<Certificate>& certificate) {
  w.U8(certificate ? 1 : 0);
  if (certificate) w.Blob(certificate->Encode());
}

void ReadOptional(Reader& r, std::optional<Certificate>* out) {
  out->reset();
  const uint8_t tag = r.U8();
  if (tag > 1) r.Fail();
  if (tag == 1 && !Certificate::Decode(r.Blob(), &out->emplace())) r.Fail();
}

Bytes VoteSigningBytes(const SignContext& ctx, Phase phase, NodeId signer, uint64_t incarnation,
                       uint64_t journal_sequence, View view, Height height, const Digest& hash) {
  const Domain domain = phase == Phase::kProposal  ? Domain::kSignProposal
                        : phase == Phase::kPrepare ? Domain::kSignPrepare
                                                   : Domain::kSignCommit;
  Writer w = BeginSigned(domain, ctx, {signer, incarnation, journal_sequence, {}});
  w.Num(view);
  w.Num(height);
  w.Fixed(hash);
  return w.Take();
}

void Signed::Encode(Writer& w) const {
  w.Num(signer);
  w.U64(incarnation);
  w.U64(journal_sequence);
  w.Fixed(signature);
}

void Signed::Decode(Reader& r) {
  r.Num(signer);
  incarnation = r.U64();
  journal_sequence = r.U64();
  r.Fixed(signature);
}

Bytes Certificate::Encode() const {
  DADBS_CHECK(votes.size() <= kNodesMax);
  Writer w;
  w.U8(static_cast<uint8_t>(phase));
  w.Num(epoch);
  w.Num(view);
  w.Num(height);
  w.Fixed(hash);
  w.U16(static_cast<uint16_t>(votes.size()));
  for (const Signed& vote : votes) vote.Encode(w);
  return w.Take();
}

bool Certificate::Decode(ByteView bytes, Certificate* out) {
  out->votes.clear();
  Reader r(bytes);
  const uint8_t phase = r.U8();
  if (phase != static_cast<uint8_t>(Phase::kPrepare) && phase != static_cast<uint8_t>(Phase::kCommit)) return false;
  out->phase = static_cast<Phase>(phase);
  r.Num(out->epoch);
  r.Num(out->view);
  r.Num(out->height);
  r.Fixed(out->hash);
  const size_t count = r.U16();
  if (!r.ok() || count > kNodesMax || count * kSignedBytes != r.remaining()) return false;
  for (size_t i = 0; i < count; i++) {
    Signed vote;
    vote.Decode(r);
    if (!out->votes.empty() && vote.signer <= out->votes.back().signer) return false;
    out->votes.push_back(vote);
  }
  return r.Done();
}

// ---- transaction ids -----------------------------------------------------------------------------------------------

std::string ToString(const TransactionId& id) {
  return std::to_string(id.origin.value) + "." + std::to_string(id.incarnation) + "." + std::to_string(id.number);
}

bool ParseTransactionId(std::string_view text, TransactionId* out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](auto* value) {
    if (at == end || (*at == '0' && at + 1 != end && at[1] != '.')) return false;  // one spelling of each number
    const auto [next, error] = std::from_chars(at, end, *value);
    at = next;
    return error == std::errc();
  };
  const auto dot = [&] { return at != end && *at++ == '.'; };
  return number(&out->origin.value) && dot() && number(&out->incarnation) && dot() && number(&out->number) && at == end;
}

}  // namespace dadbs::core
