/*
 * chain.h: genesis, batches, blocks, certificates.
 *
 * A block binds, in order, its items (batches of origins, beginnings of incarnations) and the Merkle root over its
 * transactions. Its hash does not depend on the view; its certificate (q signed COMMIT votes) does, differs between
 * members, and is never hashed.
 */
#pragma once

#include <optional>
#include <variant>

#include "dadbs/core/crypto.h"
#include "dadbs/core/encoding.h"
#include "dadbs/core/quorum.h"
#include "dadbs/core/types.h"

namespace dadbs::core {

inline constexpr uint16_t kBlockFormat = 1;
inline constexpr uint16_t kProtocolVersion = 4;  // 2: views change; 3: attestations, state digests; 4: pieces of history
inline constexpr size_t kItemsPerBlockMax = 4096;
inline constexpr size_t kBatchBytesMax = 600u << 20;
inline constexpr size_t kGenesisTextBytesMax = 255;  // of each name, address, schema, environment entry

struct Member {
  NodeId id;
  std::string name;
  std::string address;  // host:port of the peer port
  PublicKey key;
};

// What must be alike on all members is part of the chain's identity.
struct Genesis {
  uint16_t format = kBlockFormat;
  Nonce nonce;
  int64_t created_at_us = 0;
  std::string cluster_name;
  std::vector<Member> members;       // ids 1..n in order
  std::vector<std::string> schemas;  // empty: all user schemas
  uint32_t sequence_stride = 1;
  std::vector<std::pair<std::string, std::string>> environment;  // server_version_num major, encoding, collation, ...
  // Members that must approve what would switch off contracts, 1 to n. None: a genesis of before there were approvals.
  std::optional<uint16_t> approvals;

  Bytes Encode() const;
  static bool Decode(ByteView bytes, Genesis* out);
  Digest chain_id() const;  // Hash(kGenesis, encoding): also the hash of block 0
  const Member* Find(NodeId id) const;
  const Member* FindByName(std::string_view name) const;
  const Member* FindByKey(const PublicKey& key) const;
  size_t quorum() const { return QuorumSize(members.size()); }
  size_t approvals_needed() const { return approvals.value_or(1); }
};

// In every signed message, in front of its fields.
struct SignContext {
  Digest chain_id;
  Epoch epoch{1};
};

// Envelope of a signature: who, in which incarnation, at which of its own journal sequence numbers.
struct Signed {
  NodeId signer;
  uint64_t incarnation = 0;
  uint64_t journal_sequence = 0;
  Signature signature;

  void Encode(Writer& w) const;
  void Decode(Reader& r);
};

// Begins what is signed: domain, context, whose it is. The fields follow.
Writer BeginSigned(Domain domain, const SignContext& ctx, const Signed& envelope);

struct BatchHeader {
  NodeId origin;
  uint64_t incarnation = 0;
  uint64_t journal_sequence = 0;  // of the origin's record of this batch
  uint64_t first_number = 0;      // contiguous with the batch before
  uint32_t count = 0;             // transactions, at least 1
  uint64_t body_bytes = 0;        // sum of the write sets' lengths
  Digest transaction_root;        // Merkle root over Hash(kTransactionLeaf, transaction hash)
  Signature signature;            // origin's, over SigningBytes

  Bytes EncodeUnsigned() const;
  Bytes SigningBytes(const SignContext& ctx) const;
  Digest digest() const;  // Hash(kBatch, EncodeUnsigned)
};

struct Batch {
  BatchHeader header;
  std::vector<Bytes> write_sets;
  // Whether the body is the one the header names: count, sizes, frame of each write set, root. `hashes`, if not null,
  // gets the transactions' hashes.
  bool BodyMatches(std::string* why = nullptr, std::vector<Digest>* hashes = nullptr) const;
};

// A batch's write sets as one piece: u32 count, count x blob. What the history and the journal keep.
Bytes EncodeBatchBody(std::span<const Bytes> write_sets);
bool DecodeBatchBody(ByteView bytes, std::vector<Bytes>* out);

Digest TransactionTreeRoot(std::span<const Digest> transaction_hashes);  // wraps each in kTransactionLeaf

// "Incarnation k of this member begins here": what was open of older ones is aborted by this position.
struct IncarnationEntry {
  NodeId origin;
  uint64_t incarnation = 0;
  uint64_t journal_sequence = 0;
  Nonce nonce;
  Height recent_height;  // names a certified block, so that the entry expires
  Digest recent_hash;
  Signature signature;

  Bytes EncodeUnsigned() const;
  Bytes SigningBytes(const SignContext& ctx) const;
};

using Item = std::variant<BatchHeader, IncarnationEntry>;
enum class ItemKind : uint8_t { kBatch = 1, kIncarnation = 2 };  // 3.. membership, skip, evidence, ...

void EncodeItem(Writer& w, const Item& item);  // u8 kind, fields, signature
bool DecodeItem(Reader& r, Item* out);
Digest ItemLeaf(const Item& item);  // Hash(kItemLeaf, what EncodeItem writes): the signature is bound too
bool VerifyItem(const Item& item, const SignContext& ctx, const Genesis& genesis, const Verifier& verifier);

inline constexpr size_t kBlockHeaderBytes = 172;

struct BlockHeader {
  uint16_t format = kBlockFormat;
  Digest chain_id;
  Epoch epoch{1};
  Height height;
  Digest previous_hash;
  int64_t time_us = 0;
  NodeId proposer;
  uint32_t item_count = 0;
  uint32_t transaction_count = 0;
  uint64_t body_bytes = 0;
  Digest items_root;
  Digest transactions_root;

  Bytes Encode() const;
  static bool Decode(ByteView bytes, BlockHeader* out);
  Digest hash() const;  // Hash(kBlockHeader, Encode())
};

struct Block {
  BlockHeader header;
  std::vector<Item> items;

  Bytes Encode() const;  // header blob, u32 count, items
  static bool Decode(ByteView bytes, Block* out);
  // Roots and counts as the items and the batches' transaction hashes say. The transactions' tree of a block is over
  // the same leaves as the batches' trees, in order: `hashes` are all transactions' hashes.
  static BlockHeader MakeHeader(const Digest& chain_id, Epoch epoch, const BlockHeader* parent,
                                const Digest& parent_hash, int64_t time_us, NodeId proposer,
                                std::span<const Item> items, std::span<const Digest> hashes);
};

enum class Phase : uint8_t { kProposal = 1, kPrepare = 2, kCommit = 3 };

// The exact bytes of a vote: domain, chain id, epoch, signer, incarnation, journal sequence, view, height, hash.
Bytes VoteSigningBytes(const SignContext& ctx, Phase phase, NodeId signer, uint64_t incarnation,
                       uint64_t journal_sequence, View view, Height height, const Digest& hash);

// q votes of one phase for one (view, height, hash): a prepare certificate or the block's certificate.
struct Certificate {
  Phase phase = Phase::kCommit;
  Epoch epoch{1};
  View view;
  Height height;
  Digest hash;
  std::vector<Signed> votes;  // ascending by signer, distinct

  Bytes Encode() const;
  static bool Decode(ByteView bytes, Certificate* out);
};
// u8 0, or 1 and a blob.
void WriteOptional(Writer& w, const std::optional<Certificate>& certificate);
void ReadOptional(Reader& r, std::optional<Certificate>* out);

// Content, distinct signers, quorum, signatures. False with the reason.
bool VerifyCertificate(const Certificate& c, const Genesis& genesis, const Verifier& verifier,
                       std::string* why = nullptr);

// Everything an outsider can check of a block given its parent: A2. Empty: sound, else what is wrong. Block 1 has no
// parent header: parent is null, parent_hash the chain id. Not checked, because it needs more than the parent: that the
// numbers of each origin go on where they stopped (docs/chain-format.md, "origins").
std::string CheckBlock(const Block& block, const BlockHeader* parent, const Digest& parent_hash,
                       const Certificate& certificate, std::span<const Digest> transaction_hashes,
                       const Genesis& genesis, const Verifier& verifier);

// What can be wrong with a block whatever stands in front of it, and with its header behind its parent's. Nobody who keeps the rules
// votes for such a block (evidence.h). That the items are those of the header's root is for the caller to know.
std::string CheckBlockItself(const Block& block, const Genesis& genesis, const Verifier& verifier);
std::string CheckFollows(const BlockHeader& header, const BlockHeader& parent);

// "2.1.345": node id, incarnation, number.
std::string ToString(const TransactionId& id);
bool ParseTransactionId(std::string_view text, TransactionId* out);

}  // namespace dadbs::core
