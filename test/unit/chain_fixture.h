// chain_fixture.h: a small cluster with real keys, for tests that need sound blocks to damage.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dadbs/core/chain.h"
#include "dadbs/core/write_set.h"

namespace dadbs::core::test {

using Random = std::mt19937_64;

inline Bytes RandomBytes(Random& random, size_t size) {
  Bytes bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

template <class Fixed>
Fixed Filled(uint8_t byte) {
  Fixed f;
  f.bytes.fill(byte);
  return f;
}

inline Bytes FromHex(std::string_view hex) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

inline ColumnValue Text(std::string_view s) { return {'t', AsBytes(s)}; }
inline ColumnValue Binary(ByteView b) { return {'b', b}; }
inline ColumnValue Null() { return {}; }
inline ColumnValue Unchanged() { return {'u', {}}; }

// One INSERT into public.t.
inline Bytes InsertWriteSet(std::string_view value, Prefix base = PrefixWholeBlock(Height{0})) {
  RowChange insert;
  insert.relation = {"public", "t"};
  insert.row = {Text(value), Null()};
  WriteSetBuilder builder(WriteSetKind::kRows);
  builder.Add(Filled<Salt>(7), EncodeChange(insert));
  WriteSetHeader header;
  header.base = header.schema_base = base;
  header.origin_xid = 700;
  header.begun_at_us = 1;
  header.user = "alice";
  return builder.Finish(header);
}

struct TestBlock {
  Block block;
  Certificate certificate;
  std::vector<Batch> batches;
  std::vector<Digest> transaction_hashes;
};

class TestCluster {
 public:
  explicit TestCluster(size_t members, uint8_t nonce = 1) {
    genesis.nonce = Filled<Nonce>(nonce);
    genesis.created_at_us = 1'000'000;
    genesis.cluster_name = "test";
    for (size_t i = 1; i <= members; i++) {
      const Bytes seed(32, static_cast<uint8_t>(i));
      signers.push_back(MakeEd25519Signer(seed));
      const std::string number = std::to_string(i);
      genesis.members.push_back(
          {NodeId{static_cast<uint16_t>(i)}, "m" + number, "127.0.0.1:" + number, signers.back()->public_key()});
    }
    genesis.environment = {{"server_version", "15"}, {"encoding", "UTF8"}};
  }

  SignContext context() const { return {genesis.chain_id(), Epoch{1}}; }
  const Signer& signer(NodeId id) const { return *signers[id.value - 1]; }

  Signed Vote(NodeId id, Phase phase, View view, Height height, const Digest& hash) const {
    Signed vote{id, 1, 100 + height.value, {}};
    vote.signature = signer(id).Sign(
        VoteSigningBytes(context(), phase, id, vote.incarnation, vote.journal_sequence, view, height, hash));
    return vote;
  }

  Certificate Certify(Height height, const Digest& hash, size_t votes, Phase phase = Phase::kCommit,
                      View view = View{0}) const {
    Certificate c;
    c.phase = phase;
    c.view = view;
    c.height = height;
    c.hash = hash;
    for (size_t i = 1; i <= votes; i++)
      c.votes.push_back(Vote(NodeId{static_cast<uint16_t>(i)}, phase, view, height, hash));
    return c;
  }

  Batch MakeBatch(NodeId origin, uint64_t first_number, std::vector<Bytes> write_sets) const {
    Batch batch;
    BatchHeader& h = batch.header;
    h.origin = origin;
    h.incarnation = 1;
    h.journal_sequence = 50 + first_number;
    h.first_number = first_number;
    h.count = static_cast<uint32_t>(write_sets.size());
    std::vector<Digest> hashes;
    for (const Bytes& ws : write_sets) {
      h.body_bytes += ws.size();
      TransactionHash(ws, &hashes.emplace_back());
    }
    h.transaction_root = TransactionTreeRoot(hashes);
    h.signature = signer(origin).Sign(h.SigningBytes(context()));
    batch.write_sets = std::move(write_sets);
    return batch;
  }

  IncarnationEntry MakeIncarnation(NodeId origin, uint64_t incarnation = 1) const {
    IncarnationEntry e;
    e.origin = origin;
    e.incarnation = incarnation;
    e.journal_sequence = 2;
    e.nonce = Filled<Nonce>(9);
    e.recent_hash = genesis.chain_id();
    e.signature = signer(origin).Sign(e.SigningBytes(context()));
    return e;
  }

  // Incarnations first, then the batches; certified by a quorum.
  TestBlock MakeBlock(const TestBlock* parent, std::vector<IncarnationEntry> entries,
                      std::vector<Batch> batches) const {
    TestBlock b;
    for (IncarnationEntry& e : entries) b.block.items.emplace_back(std::move(e));
    for (const Batch& batch : batches) {
      std::vector<Digest> hashes;
      batch.BodyMatches(nullptr, &hashes);
      b.transaction_hashes.insert(b.transaction_hashes.end(), hashes.begin(), hashes.end());
      b.block.items.emplace_back(batch.header);
    }
    b.batches = std::move(batches);
    const BlockHeader* parent_header = parent ? &parent->block.header : nullptr;
    const Digest parent_hash = parent ? parent->block.header.hash() : genesis.chain_id();
    const int64_t time_us = (parent ? parent->block.header.time_us : genesis.created_at_us) + 1000;
    b.block.header = Block::MakeHeader(genesis.chain_id(), Epoch{1}, parent_header, parent_hash, time_us, NodeId{1},
                                       b.block.items, b.transaction_hashes);
    b.certificate = Certify(b.block.header.height, b.block.header.hash(), genesis.quorum());
    return b;
  }

  Genesis genesis;
  std::vector<std::unique_ptr<Signer>> signers;
};

}  // namespace dadbs::core::test
