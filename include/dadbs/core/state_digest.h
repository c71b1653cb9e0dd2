/*
 * state_digest.h: what a member has come to, in 32 bytes, and whether the others have come to the same.
 *
 * Order is agreed and certified; what follows from it (verdicts, keys derived from tables, rows that contracts write) each
 * member finds for itself. The effects digest runs over all of that, position by position, from the genesis on, so one
 * difference shows in all digests that follow. Members sign theirs at heights that all of them reach and say them to each
 * other. Order never waits for it: a digest is an alarm, never a vote.
 *
 * Whose digest differs from one that a quorum has signed is the one that differs. Where none can reach a quorum any more,
 * nobody can tell, and all stop writing. A differing digest convicts nobody: a bad disk is no crime.
 */
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dadbs/core/chain.h"

namespace dadbs::core {

// docs/chain-format.md, "Effects digest". Blocks in order, of each first its transactions in order, then the effects: of each
// transaction sorted by contract and change, not as they were made. What is the same in the end must give the same digest.
class EffectsDigest {
 public:
  EffectsDigest(Height height, const Digest& digest) : height_(height), digest_(digest) {}  // at genesis: 0, the chain id
  void BeginBlock(Height height);  // the next one
  void AddTransaction(uint32_t index, Verdict verdict, ByteView keys);  // EncodeKeys; none where it did not commit
  void AddEffect(uint32_t index, std::string_view contract, ByteView change);
  Height height() const { return height_; }
  const Digest& digest() const { return digest_; }

 private:
  Height height_;
  Digest digest_;
};

// Signed: "after block `height` my effects digest is this".
struct StateDigest {
  Height height;
  Digest digest;
  Signed envelope;

  Bytes SigningBytes(const SignContext& ctx) const;
  void Encode(Writer& w) const;
  bool Decode(Reader& r);
};
// Empty: sound, else what is wrong.
std::string CheckStateDigest(const StateDigest& d, const Genesis& genesis, const Verifier& verifier);

// What members have said, by height, against what this one has come to. Bounded: of each member its kKept highest heights.
class DigestComparison {
 public:
  static constexpr size_t kKept = 64;
  struct Finding {
    bool no_quorum = false;  // no digest of this height can reach one any more; else: a quorum has another than this member
    Height height;           // where it was noticed
    Height agreed;           // where this member last had the same as a quorum
    bool operator==(const Finding&) const = default;
  };

  DigestComparison(NodeId self, size_t members);
  void Note(NodeId signer, Height height, const Digest& digest);
  bool Knows(NodeId signer, Height height, const Digest& digest) const;
  const std::optional<Finding>& finding() const { return finding_; }  // the first one stays
  Height agreed() const { return agreed_; }
  std::optional<std::pair<Height, Digest>> Latest(NodeId signer) const;

 private:
  void Compare(Height height);

  NodeId self_;
  size_t members_;
  std::map<NodeId, std::map<Height, Digest>> said_;
  std::vector<std::pair<Height, Digest>> replaced_;  // stays empty: for a deliberate mistake (replica_mutation.h)
  Height agreed_;
  std::optional<Finding> finding_;
};

}  // namespace dadbs::core
